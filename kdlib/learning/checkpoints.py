"""A file from which a training that was killed goes on, to the same bytes as if it had not been."""

import functools
import hashlib
import json
import logging
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np

from kdlib.backends import ranks
from kdlib.io import artifacts
from kdlib.io.atomic import exclusive
from kdlib.io.errors import UserError

log = logging.getLogger("checkpoint")
STATE = 256  # characters of a generator's state, at most
# All of the library, and of the stages as they are installed beside it: a list of what trains would be wrong one day.
CODE = Path(__file__).parents[1], Path(__file__).parents[2] / "stages"


class Checkpoint:
    """Beside the output `path` of a training: the state after every `every` epochs, or never, until `remove`.

    The first rank reads and writes it, so that as many others as one likes go on from it.
    It holds the digest of all that the training depends on, the code included, and is used where that is the same; and
    the digest of its own content, without which a changed one would be another student.
    """

    def __init__(self, path, every):
        self.path, self.every, self._digest = Path(f"{path}.checkpoint"), every, None

    def resume(self, arguments, state, generators):
        """Number of epochs that are done: 0, or as many as the file tells, which then fills `state` and `generators`.

        arguments: nested dicts, sequences and dataclasses of arrays and values, on which the training depends.
        state: {name: array}, overwritten in place. generators: a list of `numpy.random.Generator`.
        """
        self._digest = digest(arguments)
        alike("digests of parameters, data and code", self._digest)
        epochs = self._read(state, generators) if ranks.current.first else 0
        if ranks.current.size > 1:
            epochs = _told(epochs, state, generators)
        return epochs

    def _read(self, state, generators):
        if not self.path.exists():
            return 0
        try:
            epochs, stored, states = self._stored(state, generators)
        except UserError as error:
            log.warning("not resumed: %s", error)
            return 0
        for name, array in state.items():
            array[...] = stored[name]
        for generator, content in zip(generators, states, strict=True):
            generator.bit_generator.state = content
        log.info("resumed after epoch %d from %s", epochs, self.path)
        return epochs

    def _stored(self, state, generators):
        """(epochs, arrays, generators' states). Raises UserError if the file is not one of this training."""
        stored = artifacts.read_npz(self.path, ["content", "digest", "epochs", "generators", *state])
        if str(stored.pop("content")) != artifacts.digest(stored):
            raise UserError(f"{self.path}: its content does not have the digest that it names")
        if str(stored["digest"]) != self._digest:
            raise UserError(f"{self.path} belongs to other parameters, data or code")
        try:
            epochs, states = int(stored["epochs"]), json.loads(str(stored["generators"]))
            for content in states:
                np.random.PCG64().state = content
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError):
            raise UserError(f"{self.path}: not a number of epochs and states of generators") from None
        same = all((stored[n].shape, stored[n].dtype) == (array.shape, array.dtype) for n, array in state.items())
        if not same or epochs < 1 or len(states) != len(generators):
            raise UserError(f"{self.path}: not the state of this training")
        return epochs, stored, states

    def after_epoch(self, epochs, state, generators):
        """Write the file if `epochs`, the number of those that are done, is a multiple of `every`."""
        if self.every and epochs % self.every == 0 and ranks.current.first:
            content = {"digest": self._digest, "epochs": epochs, "generators": _states(generators)}
            arrays = state | {name: np.array(value) for name, value in content.items()}
            artifacts.write_npz(self.path, arrays | {"content": np.array(artifacts.digest(arrays))})

    def remove(self):
        """With what a kill left of an unfinished one."""
        with exclusive(self.path):
            self.path.unlink(missing_ok=True)


def alike(what, text):
    """Raises UserError where not all ranks say the same of `what`."""
    texts = ranks.current.texts(text)
    for rank, other in enumerate(texts):
        if other != texts[0]:
            raise UserError(f"{what} differ: rank 0 has {texts[0]}, rank {rank} {other}; they must be the same on all")


def _told(epochs, state, generators):
    """What the first rank has read, on all."""
    epochs = int(ranks.current.told(np.array([epochs]))[0])
    if epochs:
        for _, array in sorted(state.items()):
            ranks.current.told(array)
        content = np.frombuffer(_states(generators).encode().ljust(STATE * len(generators)), np.uint8).copy()
        for generator, known in zip(generators, json.loads(bytes(ranks.current.told(content))), strict=True):
            generator.bit_generator.state = known
    return epochs


def _states(generators):
    return json.dumps([generator.bit_generator.state for generator in generators])


def digest(arguments):
    """SHA-256, in hex, of nested dicts, sequences and dataclasses of arrays and values, and of the code that trains."""
    result = hashlib.sha256()

    def add(value):
        if isinstance(value, np.ndarray):
            result.update(f"{value.dtype.str} {value.shape}".encode())
            result.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        elif hasattr(value, "identity"):
            add(value.identity)
        elif is_dataclass(value):
            add(vars(value))
        elif isinstance(value, dict):
            for key in sorted(value):
                add(key)
                add(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            result.update(repr(value).encode())
        result.update(b"\n")

    add(arguments)
    result.update(code_digest(CODE).encode())
    return result.hexdigest()


@functools.cache
def code_digest(folders=CODE):
    """SHA-256, in hex, of the Python files below these folders, as they are when it is first asked for."""
    result = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            result.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            result.update(content)
    return result.hexdigest()
