"""Templates of text files, with @NAMES@ as placeholders."""

import re


def fill_template(template: str, **values: object) -> str:
    """Replace each @NAME@ of the template by the text of its value.

    This is one pass: a value that contains @NAME@ itself is not replaced again.
    """
    return re.sub("@([A-Z]+)@", lambda found: str(values[found[1]]), template)
