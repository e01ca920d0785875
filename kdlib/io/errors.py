"""The exception for bad input of a user, and how a process ends after it."""

import contextlib
import os
import sys
from collections.abc import Iterator

MAX_LINE_CHARACTERS = 280  # characters of a message
KEPT_END_CHARACTERS = 100  # characters of a message's end that are kept when its middle is cut
INTERRUPTED_MESSAGE = "interrupted; no file is half written"


def printable(text: str) -> str:
    """Return `text` with `\\x1b` for an escape, and the same for every character without a glyph.

    A terminal then obeys no control character from a file.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def one_line(message: object) -> str:
    """Return `message` as one printable line of at most MAX_LINE_CHARACTERS; a longer one loses its middle.

    The end stays, because the advice is there.
    """
    line = printable(" ".join(str(message)[: 100 * MAX_LINE_CHARACTERS].split()))
    return (
        line
        if len(line) <= MAX_LINE_CHARACTERS
        else f"{line[: MAX_LINE_CHARACTERS - KEPT_END_CHARACTERS - 1]}…{line[-KEPT_END_CHARACTERS:]}"
    )


class UserError(ValueError):
    """Report bad input in one line: what was found, where, and what is allowed.

    Parameters
    ----------
    message : str
        Shortened to one line as in `one_line`.
    """

    def __init__(self, message: object):
        super().__init__(one_line(message))


def _reason(error):
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"out of memory: {error or 'an array does not fit'}; lower widths, splits, replicas or settings"
    return INTERRUPTED_MESSAGE if isinstance(error, KeyboardInterrupt) else error


def _open_streams():
    """Open standard streams that are closed: else the next file would get their number, and what is printed."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115 - until the end


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Run a block; an error of the user or of the system ends the process with one line on stderr and exit code 1.

    Such errors are UserError, OSError, MemoryError and KeyboardInterrupt.
    """
    _open_streams()
    try:
        yield
        sys.stdout.flush()
        return
    except (UserError, OSError, MemoryError, KeyboardInterrupt) as error:
        line = f"error: {one_line(_reason(error))}"
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:  # text that cannot be printed now cannot be printed at exit either, where Python would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
