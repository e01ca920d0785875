"""Checks of names in a user's data: names of classes, columns and categories go into files that others open."""

import re
from collections.abc import Collection

from kdlib.io.errors import UserError

MAX_NAME_CHARACTERS = 200
MAX_NAMES_LISTED = 10
# XML or a terminal may refuse or misread these: control characters, lone surrogates, line separators, noncharacters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_MARKUP = re.compile("</|<!--")  # ends or hides a script in a page; `<=50K` does not


def check_name(where: str, name: str) -> None:
    """Refuse a name that could harm a file.

    Parameters
    ----------
    where : str
        Place of the name. The message of an error begins with it.
    name : str
        Name of a class, a column or a category.

    Raises
    ------
    UserError
        If the name is empty, has more than 200 characters, or contains an unprintable character or markup.
    """
    if not name:
        raise UserError(f"{where}: got an empty name")
    if len(name) > MAX_NAME_CHARACTERS:
        raise UserError(f"{where}: got a name of {len(name):,} characters; at most {MAX_NAME_CHARACTERS} are allowed")
    if found := _UNPRINTABLE.search(name):
        raise UserError(f"{where}: {name!a} has the character {found.group()!a}, which is not for a name; rename it")
    if found := _MARKUP.search(name):
        raise UserError(f"{where}: {name!a} has markup in it ({found.group()}); rename it")


def join_names(names: Collection[str]) -> str:
    """Join the first ten names for a message, each cut after 20 characters, and count the others.

    Parameters
    ----------
    names : collection of str

    Returns
    -------
    str
        Such as ``a, b``; of 13 names the first ten, then ``and 3 more``.
    """
    more = f" and {len(names) - MAX_NAMES_LISTED:,} more" if len(names) > MAX_NAMES_LISTED else ""
    first = list(names)[:MAX_NAMES_LISTED]
    return ", ".join(name[: MAX_NAME_CHARACTERS // MAX_NAMES_LISTED] for name in first) + more
