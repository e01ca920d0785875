"""Names that come from a user's data and go into files that others open: of classes, columns and categories."""

import re

from kdlib.io.errors import UserError

LONGEST = 200
SHOWN = 10
# No XML or terminal takes these: control characters, lone surrogates, line separators, noncharacters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_MARKUP = re.compile("</|<!--")  # ends or hides a script in a page; `<=50K` does not


def check_name(where, name):
    """Raises UserError, beginning with `where`, if a name is empty, too long, or harms a file that it goes into."""
    if not name:
        raise UserError(f"{where}: got an empty name")
    if len(name) > LONGEST:
        raise UserError(f"{where}: got a name of {len(name):,} characters; at most {LONGEST} are allowed")
    if found := _UNPRINTABLE.search(name):
        raise UserError(f"{where}: {name!a} has the character {found.group()!a}, which is not for a name; rename it")
    if _MARKUP.search(name):
        raise UserError(f"{where}: {name!a} has markup in it ({_MARKUP.search(name).group()}); rename it")


def listed(names):
    """The first of the names, and how many there are besides."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(name[: LONGEST // SHOWN] for name in list(names)[:SHOWN]) + more
