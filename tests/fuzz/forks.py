"""Functions in processes of their own, with limits: a fork costs a hundredth of starting Python."""

import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.passing import MEMORY, SECONDS, Ending

PATIENCE = 0.005  # s between looks at whether it has ended


def _pages(field):
    return int(Path("/proc/self/statm").read_text("ascii").split()[field]) * resource.getpagesize()


def _child(function, folder, before, streams):
    for number, stream in enumerate(streams, 1):
        os.dup2(stream.fileno(), number)
    os.chdir(folder)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if Path("/proc/self/statm").exists():
        resource.setrlimit(resource.RLIMIT_AS, (_pages(0) + MEMORY, resource.RLIM_INFINITY))
    code = 70
    try:
        if before:
            before()
        function()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


class Fork:
    """`function()` in a process of its own, in `folder`. before: called there first."""

    def __init__(self, function, folder, before=None):
        self._streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.pid, self._begun = os.fork(), time.monotonic()
        if not self.pid:
            _child(function, folder, before, self._streams)

    def kill_after(self, seconds):
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGKILL)  # it is not yet waited for: the number is its own
        return self

    def _taken(self):
        """Seconds since it began, without those in which others had the processor that it was ready for."""
        waited = Path(f"/proc/{self.pid}/schedstat")
        queued = int(waited.read_text("ascii").split()[1]) / 1e9 if waited.exists() else 0.0
        return time.monotonic() - self._begun - queued

    def end(self):
        while not (waited := os.wait4(self.pid, os.WNOHANG))[0]:
            if self._taken() > SECONDS:
                os.kill(self.pid, signal.SIGALRM)
            time.sleep(PATIENCE)
        _, status, usage = waited
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read(1 << 20).decode(errors="replace"))
            stream.close()
        unit = 1 if sys.platform == "darwin" else 1024
        return Ending(os.waitstatus_to_exitcode(status), *texts, unit * (usage.ru_maxrss - self._grown))


CHANGING = ("open", "fsync", "replace", "unlink", "mkdir", "rmdir", "write")


def killing(at, after, count):
    """Function that has the process kill itself at its call number `at` that may change a file, before or after it.

    count: a list of one number, which is raised by each of them.
    """

    def wrapped(call):
        def changing(*arguments, **options):
            mine = count[0] == at
            count[0] += 1
            if mine and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return changing

    def before():
        import builtins
        import io

        for name in CHANGING:
            setattr(os, name, wrapped(getattr(os, name)))
        builtins.open = io.open = wrapped(builtins.open)

    return before


def filling(size):
    """Function that has the process killed by the write that makes a file longer than `size` bytes."""

    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return before


def numbered(*parts):
    """Random numbers for this attack alone."""
    return random.Random("/".join(map(str, parts)))
