"""Outputs: a file is whole or absent, never half, and one process at a time writes it.

A writer of NAME holds a lock on `.NAME.lock`, which the system frees when the process dies, and writes to a temporary
`.NAME.xxxxxxxx.tmp`. Who has the lock is the only writer: each such file that it finds is a dead process's.
"""

import contextlib
import errno
import glob
import os
import secrets
import threading
from pathlib import Path

from kdlib.io.errors import UserError

try:
    import fcntl
except ImportError:
    import msvcrt

BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # by some network file systems
FAR = 1 << 30  # Windows lets nobody read a locked byte; the process's number is at the beginning

_held, _guard = {}, threading.RLock()  # {output: [blocks of this process that are in it, descriptor]}


def _lock(descriptor):
    """Whether it is locked now; False where there are no locks. Raises OSError, of BUSY if another process has it."""
    if os.name == "nt":
        os.lseek(descriptor, FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def _acquire(path, lock):
    """Descriptor of the file `lock`, locked, for the only writer of `path`."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            locked = _lock(descriptor)
            # Who had it before may have removed the file: then nobody else would find this lock.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                    with contextlib.suppress(OSError):  # of a full disk, too; what it says is for a message alone
                        os.lseek(descriptor, 0, os.SEEK_SET)
                        os.write(descriptor, f"{os.getpid():<20}".encode())
                    for dead in lock.parent.glob(f".{glob.escape(path.name)}.????????.tmp") if locked else ():
                        dead.unlink(missing_ok=True)
                    return descriptor
            os.close(descriptor)
        except OSError as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in BUSY:
                raise
            raise UserError(f"{path}: the process {holder} is writing it; wait for it, or write elsewhere") from None


def _release(descriptor, lock):
    if os.name == "nt":  # an open file cannot be removed there, nor one that the next writer has opened
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.unlink(lock)
    if os.name != "nt":
        os.close(descriptor)


def apart(paths):
    """Raises UserError if two of {option: path} are one: what is read would be overwritten."""
    seen = {}
    for name, path in paths.items():
        # The last part as it is: a link is replaced, not what it points to.
        place = str(Path(path).parent.resolve() / Path(path).name).casefold()
        if place in seen:
            raise UserError(f"{name}: got {str(path)!r}, which is {seen[place]}; needs a path of its own")
        seen[place] = name


@contextlib.contextmanager
def exclusive(path):
    """A block in which no other process writes `path`, in a folder that is made; what dead ones left is removed.

    Blocks of one process may be nested. Raises UserError if another process is in such a block.
    """
    path = Path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    key = path.parent.resolve() / path.name
    lock = key.parent / f".{path.name}.lock"
    try:
        with _guard:
            if key not in _held:
                _held[key] = [0, _acquire(path, lock)]
            _held[key][0] += 1
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    try:
        yield
    finally:
        with _guard:
            _held[key][0] -= 1
            if not _held[key][0]:
                _release(_held.pop(key)[1], lock)
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


@contextlib.contextmanager
def temporary(path):
    """Give the path of a file that may be made beside `path`, and remove it at the end.

    After a kill the next `exclusive(path)` removes it, if this block is in one too.

    Parameters
    ----------
    path : path-like
        The output that the file is for.

    Yields
    ------
    pathlib.Path
    """
    path = Path(path)
    own = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        yield own
    except OSError as error:
        if error.filename in (None, str(own)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(own)


@contextlib.contextmanager
def replacing(path):
    """A binary file that takes `path`'s place when the block ends without an error, and leaves no trace otherwise."""
    with exclusive(path), temporary(path) as own:
        with open(own, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(own, path)
