"""The one exception that a user of the pipeline is meant to read, and how a process that meets it ends."""

import contextlib
import os
import sys

LINE = 280  # characters of a message
INTERRUPTED = "interrupted; no file is half written"


def printable(text):
    """`text` with `\\x1b` for an escape, and so for all that has no glyph: a terminal obeys no file's content."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def one_line(message):
    """`message` as a printable line of at most LINE characters: its middle goes, the advice at its end stays."""
    line = printable(" ".join(str(message)[: 100 * LINE].split()))
    return line if len(line) <= LINE else f"{line[: LINE - 101]}…{line[-100:]}"


class UserError(ValueError):
    """Bad input, told in one line: what was found, where, and what is allowed."""

    def __init__(self, message):
        super().__init__(one_line(message))


def _reason(error):
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"out of memory: {error or 'an array does not fit'}; lower widths, splits, replicas or settings"
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else error


def _open_streams():
    """Where a standard stream was closed its number is free, and the next file would get what is printed."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115 - until the end


@contextlib.contextmanager
def ending_in_a_line():
    """A block whose mistakes, the user's or the system's, end the process: one line on stderr and exit code 1."""
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
    except OSError:  # what cannot be printed now cannot at the end either, where Python would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
