"""The folder in which compiled kernels are kept, so that the next process need not compile them.

What is read from it runs. So a folder or a file is used only if it belongs to the user and nobody else may write to it.
The name of the folder is a digest of all that the machine code depends on, but the optimizer's rule: that one is in the
names of the files. Without a usable folder nothing is kept.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

log = logging.getLogger("kernels")
# What numba compiles is in these folders, the optimizers' rules excepted.
SOURCES = Path(__file__).parent, Path(__file__).parents[1] / "numerics"
PACKAGES = "numba", "llvmlite", "numpy"
DIGEST_CHARACTERS = 32
UNUSED_SECONDS = 30 * 86400  # after which another version's folder is removed


@functools.cache
def folder() -> Path | None:
    """Return the folder of this source, these versions and this processor; None if there is none to be used."""
    try:
        parent = _user_folder() / "kernels"
        path = parent / _digest_of_environment()
        for own in (parent.parent, parent, path):
            own.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.path.islink(own) or not _is_own(os.stat(own)):
                raise PermissionError(f"{own}: is not the user's own, or others may write to it")
        os.utime(path)
        _remove_unused(parent)
        with tempfile.TemporaryFile(dir=path):
            return path
    except Exception as error:  # also of an operating system that is not known here
        log.debug("compiled kernels are kept in memory only: %s", error)
        return None


def _user_folder():
    """Return the folder for caches: numba's, if one is set, else this user's."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"]).absolute() / "kdlib"
    if sys.platform == "win32":
        return Path(os.environ["LOCALAPPDATA"]) / "kdlib" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "kdlib"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "kdlib"


def _digest_of_environment():
    """Compute a digest of sources, versions, processor and numba's variables."""
    from llvmlite import binding

    result = hashlib.sha256()
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            content = path.read_bytes()
            result.update(f"{path.relative_to(source).as_posix()} {len(content)}\n".encode() + content)
    if not Path(__file__).is_file():
        raise FileNotFoundError(f"{__file__}: no source, of which to compute a digest")
    variables = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k != "NUMBA_CACHE_DIR")
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    processor = binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    result.update(repr((variables, versions, processor, sys.version, platform.python_implementation())).encode())
    return result.hexdigest()[:DIGEST_CHARACTERS]


def _is_own(status):
    """Return whether a folder or file belongs to the user, and nobody else may write to it."""
    if os.name == "nt":  # it has no such bits
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remove_unused(parent):
    """Remove the folders of other versions that nobody has used for UNUSED_SECONDS."""
    for other in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes it
            status = other.lstat()
            own = stat.S_ISDIR(status.st_mode) and _is_own(status) and re.fullmatch(r"[0-9a-f]{32}", other.name)
            if own and time.time() - status.st_mtime > UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


@functools.cache
def rule_digest(rule: Callable) -> str | None:
    """Compute a digest of an optimizer's rule.

    Parameters
    ----------
    rule : callable
        See `kdlib.learning.optimizers`.

    Returns
    -------
    str or None
        None if the rule depends on more than its source file, modules, and numbers and texts around it.
    """
    around = [cell.cell_contents for cell in rule.__closure__ or ()]
    others = [rule.__globals__[name] for name in rule.__code__.co_names if name in rule.__globals__]
    plain = all(type(value) in (bool, int, float, str) for value in around)
    if not plain or rule.__defaults__ or not all(isinstance(value, ModuleType) for value in others):
        return None
    try:
        source = Path(rule.__code__.co_filename).read_bytes()
    except OSError:
        return None
    identity = repr((rule.__module__, rule.__qualname__, around)).encode()
    return hashlib.sha256(identity + source).hexdigest()[:DIGEST_CHARACTERS]


def _note_of(digest, bounded, layers):
    return f"all_{digest}_{bounded}_{layers}"


def note(rule: Callable, bounded: bool, layers: int) -> None:
    """Note that all code for such a training has been written; see `kdlib.backends.context.Context.backend`."""
    if digest := rule_digest(rule):
        write(_note_of(digest, bounded, layers), b"")


def holds(rule: Callable, bounded: bool, layers: int) -> bool:
    """Return whether `note` was called with these arguments, in this process or in one before."""
    digest = rule_digest(rule)
    return digest is not None and read(_note_of(digest, bounded, layers)) is not None


def read(name: str) -> bytes | None:
    """Return what `write` has kept under a name; None if there is nothing, or something else."""
    path = folder()
    if path is None:
        return None
    try:
        with open(path / name, "rb", opener=_open_no_link) as file:
            content = file.read() if _is_own(os.fstat(file.fileno())) else b""
    except OSError as error:
        log.debug("nothing is kept of %s: %s", name, error)
        return None
    data = content[hashlib.sha256().digest_size :]
    if content == _sealed(name, data):
        return data
    log.debug("%s is damaged, or of somebody else: it is compiled anew", path / name)
    return None


def write(name: str, data: bytes) -> None:
    """Keep `data` under a name, whole or not at all."""
    path = folder()
    if path is None:
        return
    try:
        descriptor, temporary = tempfile.mkstemp(".tmp", dir=path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_sealed(name, data))
            os.replace(temporary, path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        log.debug("%s is not kept: %s", name, error)


def _open_no_link(path, flags):
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _sealed(name, data):
    """Return the content of a file: a digest of the name and the data, then the data."""
    return hashlib.sha256(name.encode() + b"\n" + data).digest() + data
