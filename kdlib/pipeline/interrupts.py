"""Ctrl-C while a stage is still being imported: one line in place of a traceback. Import this module first."""

import os
import signal
import sys

from kdlib.io.errors import INTERRUPTED


def _end(*_):
    """Write the line and end: Python's own handler would print a traceback of the imports."""
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(1)


def restore_handler() -> None:
    """Restore Python's handler: from now on Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# While `python -m` looks for the module, sys.argv[0] is "-m". Importing the package as a library has another name there
# and leaves the handler unchanged.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
