"""An interrupt while a stage is imported ends in a line too. To be imported first."""

import os
import signal
import sys

from kdlib.io.errors import INTERRUPTED


def _end(*_):
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(1)


def are_exceptions():
    """From now on they are, as Python has it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# So `python -m` calls the program until it has found it; whoever imports stages has another name there.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
