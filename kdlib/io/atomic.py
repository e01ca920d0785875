"""Atomic writes: an output, a file or a folder, is whole or absent, never half, and one process at a time writes it.

A writer of NAME locks `.NAME.lock` and writes to a temporary `.NAME.xxxxxxxx.tmp`. The system frees the lock when the
process dies. The holder of the lock is the only writer, so every other temporary file or folder of NAME is left from
a dead process.
"""

import contextlib
import errno
import glob
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from kdlib.io.errors import UserError

try:
    import fcntl
except ImportError:
    import msvcrt

BUSY_ERRORS = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
UNSUPPORTED_ERRORS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of some network file systems
LOCK_OFFSET = 1 << 30  # bytes; Windows lets nobody read a locked byte, and the process id is at the beginning
PROCESS_ID_BYTES = 20

_held_locks = {}  # {output: [number of this process's open blocks, descriptor]}
_held_locks_guard = threading.RLock()


def _lock(descriptor):
    """Lock a file; return False if the file system has no locks.

    Raises OSError with one of BUSY_ERRORS if another process has the lock.
    """
    if os.name == "nt":
        os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNSUPPORTED_ERRORS:
            return False
        raise
    return True


def _remove(path):
    """Remove a file, a link or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _acquire(path, lock):
    """Lock the file `lock` and return its descriptor; the caller is then the only writer of `path`."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            locked = _lock(descriptor)
            # The last holder may have removed the file: then no other process would find this lock.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                    with contextlib.suppress(OSError):  # for example a full disk: the id is only for a message
                        os.lseek(descriptor, 0, os.SEEK_SET)
                        os.write(descriptor, f"{os.getpid():<{PROCESS_ID_BYTES}}".encode())
                    for dead in lock.parent.glob(f".{glob.escape(path.name)}.????????.tmp") if locked else ():
                        _remove(dead)
                    return descriptor
            os.close(descriptor)
        except OSError as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, PROCESS_ID_BYTES).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in BUSY_ERRORS:
                raise
            raise UserError(f"{path}: the process {holder} is writing it; wait for it, or write elsewhere") from None


def _release(descriptor, lock):
    if os.name == "nt":  # Windows removes no open file, also not one that only the next writer has opened
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.unlink(lock)
    if os.name != "nt":
        os.close(descriptor)


def check_distinct(paths: Mapping[str, Path | str]) -> None:
    """Check that the paths of all options differ: else an input would be overwritten.

    Parameters
    ----------
    paths : dict
        {option: path}.

    Raises
    ------
    UserError
        If two paths are the same.
    """
    seen = {}
    for name, path in paths.items():
        # The last part is not resolved: a write replaces a link, not the file that it points to.
        place = str(Path(path).parent.resolve() / Path(path).name).casefold()
        if place in seen:
            raise UserError(f"{name}: got {str(path)!r}, which is {seen[place]}; needs a path of its own")
        seen[place] = name


@contextlib.contextmanager
def file_lock(path: Path | str) -> Iterator[None]:
    """Run a block in which no other process writes `path`.

    The folder of `path` is made, and removed at the end if it is empty. Temporary files of dead processes are removed.
    Blocks of one process may be nested.

    Raises
    ------
    UserError
        If another process is in such a block.
    """
    path = Path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    key = path.parent.resolve() / path.name
    lock = key.parent / f".{path.name}.lock"
    try:
        with _held_locks_guard:
            if key not in _held_locks:
                _held_locks[key] = [0, _acquire(path, lock)]
            _held_locks[key][0] += 1
    except OSError as error:
        error.filename = str(path)
        error.filename2 = None
        raise
    try:
        yield
    finally:
        with _held_locks_guard:
            _held_locks[key][0] -= 1
            if not _held_locks[key][0]:
                _release(_held_locks.pop(key)[1], lock)
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


@contextlib.contextmanager
def temporary_path(path: Path | str) -> Iterator[Path]:
    """Yield a path for a temporary file or folder beside `path`, and remove it at the end.

    If the process is killed, the next `file_lock(path)` removes it, provided that this block is in one too.

    Parameters
    ----------
    path : path-like
        The output that the file or folder is for.

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
            error.filename = str(path)
            error.filename2 = None
        raise
    finally:
        with contextlib.suppress(OSError):
            _remove(own)


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block ends without an error, and leaves no trace otherwise.

    Raises
    ------
    UserError
        If another process is writing `path`.
    OSError
        Of `path`, for example if the disk is full.
    """
    with file_lock(path), temporary_path(path) as own:
        with open(own, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(own, path)


@contextlib.contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder `path` when the block ends without an error.

    After an error `path` is as it was. If the process is killed, `path` is as it was, or new, or absent.

    Raises
    ------
    UserError
        If another process is writing `path`, if `path` is no folder, or if it holds what the new folder does not: this
        would be lost.
    OSError
        Of a file in `path`, for example if the disk is full.
    """
    path = Path(path)
    with file_lock(path), temporary_path(path) as new, temporary_path(path) as old:
        new.mkdir()
        try:
            yield new
        except OSError as error:
            if error.filename and Path(error.filename).parent == new:
                error.filename = str(path / Path(error.filename).name)
            raise
        if os.path.lexists(path):
            if not path.is_dir():
                raise UserError(f"{path}: not a folder; name another one")
            if foreign := sorted({*os.listdir(path)} - {*os.listdir(new)}):
                raise UserError(f"{path}: holds {foreign[0]}, which would be lost; move it, or name another folder")
            os.replace(path, old)
        try:
            os.replace(new, path)
        except BaseException:
            if os.path.lexists(old):
                os.replace(old, path)
            raise
