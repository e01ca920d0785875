"""Compiled functions whose machine code is kept in files, see `kdlib.backends.code_folder`.

numba's own cache does not see that a function calls one whose source has changed, and never finds a closure over
another compiled function again. Here the folder's name has a digest of all sources, and a closure's name one of what
it is made of.
"""

import hashlib
import logging
import pickle
from collections.abc import Callable
from types import FunctionType

from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from kdlib.backends import code_folder

log = logging.getLogger("kernels")


class Kept(NullCache):
    """numba's interface of a cache, for one function. Only functions that Python calls need it.

    Parameters
    ----------
    function : callable
        The Python function. Its name tells it from all others of its module.
    """

    def __init__(self, function: Callable):
        self._function = function

    def load_overload(self, sig, target_context):
        """Return the compiled function, or None."""
        target_context.refresh()
        data = code_folder.read(self._name(sig, target_context.codegen()))
        if data is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(data))
        except Exception as error:
            log.debug("%s is compiled anew: %s", self._function.__qualname__, error)
            return None

    def save_overload(self, sig, cres):
        """Keep a compiled function."""
        if cres.library.has_dynamic_globals or code_folder.folder() is None:
            return
        try:
            data = dumps(cres._reduce())
        except Exception as error:
            log.debug("%s is not kept: %s", self._function.__qualname__, error)
            return
        code_folder.write(self._name(sig, cres.codegen), data)

    def _name(self, sig, codegen):
        """Return the name of the file of one signature."""
        function = self._function
        identity = repr((function.__module__, function.__qualname__, str(sig), codegen.magic_tuple()))
        digest = hashlib.sha256(identity.encode()).hexdigest()[: code_folder.DIGEST_CHARACTERS]
        return f"{function.__name__}-{digest}"


def keep(function: Callable, named: bool = True) -> Callable:
    """Keep what a compiled function is compiled to.

    Parameters
    ----------
    function : callable
        Made by `kdlib.backends.numba_backend.scalars.jit`.
    named : bool
        Whether its name tells it from all others. Else nothing is kept.
    """
    if named and isinstance(function, CPUDispatcher):  # it is a plain function where numba is told to compile nothing
        function._cache = Kept(function.py_func)
    return function


def named(function: Callable, *parts: str | None) -> Callable:
    """Return the function under a name that ends with `parts`; the function itself if one of them is None.

    Machine code of two processes meets in one that loads it, so that a name must tell a closure from all others.

    Parameters
    ----------
    function : callable
        A closure, not compiled.
    *parts : str or None
        What tells it from other closures with the same code.
    """
    if None in parts:
        return function
    suffix = "".join(f"_{part}" for part in parts)
    name = function.__name__ + suffix
    copy = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    copy.__qualname__ = function.__qualname__ + suffix
    copy.__module__ = function.__module__
    return copy
