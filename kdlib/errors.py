"""The one exception that a user of the pipeline is meant to read."""


class UserError(ValueError):
    """Bad input, told in one line: what was found, where, and what is allowed."""
