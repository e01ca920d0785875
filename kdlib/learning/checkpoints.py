"""A file from which a training that was killed goes on, to the same bytes as if it had not been."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from kdlib.artifacts import read_npz, write_npz
from kdlib.errors import UserError

log = logging.getLogger("checkpoint")
CODE = Path(__file__).parent, Path(__file__).parents[1] / "numerics"


class Checkpoint:
    """Beside the output `path` of a training: the state after every `every` epochs, until `remove`.

    It holds the digest of all that the training depends on, the code included, and is used where that is the same.
    """

    def __init__(self, path, every):
        self.path, self.every, self._digest = Path(f"{path}.checkpoint"), every, None

    def resume(self, arguments, state, generators):
        """Number of epochs that are done: 0, or as many as the file tells, which then fills `state` and `generators`.

        arguments: nested dicts and sequences of arrays and values, on which the training depends.
        state: {name: array}, overwritten in place. generators: a list of `numpy.random.Generator`.
        """
        self._digest = digest(arguments)
        if not self.path.exists():
            return 0
        try:
            stored = read_npz(self.path, ["digest", "epochs", "generators", *state])
        except UserError as error:
            log.warning("not resumed: %s", error)
            return 0
        if str(stored["digest"]) != self._digest:
            log.warning("not resumed: %s belongs to other parameters, data or code", self.path)
            return 0
        for name, array in state.items():
            array[...] = stored[name]
        for generator, content in zip(generators, json.loads(str(stored["generators"])), strict=True):
            generator.bit_generator.state = content
        log.info("resumed after epoch %d from %s", stored["epochs"], self.path)
        return int(stored["epochs"])

    def after_epoch(self, epochs, state, generators):
        """Write the file if `epochs`, the number of those that are done, is a multiple of `every`."""
        if epochs % self.every == 0:
            content = {"digest": self._digest, "epochs": epochs, "generators": _states(generators)}
            write_npz(self.path, state | {name: np.array(value) for name, value in content.items()})

    def remove(self):
        """With what a kill left of an unfinished one."""
        for path in (self.path, *self.path.parent.glob(f".{self.path.name}.*")):
            path.unlink(missing_ok=True)


def _states(generators):
    return json.dumps([generator.bit_generator.state for generator in generators])


def digest(arguments):
    """SHA-256, in hex, of nested dicts and sequences of arrays and values, and of the code that trains."""
    result = hashlib.sha256()

    def add(value):
        if isinstance(value, np.ndarray):
            result.update(f"{value.dtype.str} {value.shape}".encode())
            result.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
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
    for floor in CODE:
        for path in sorted(floor.glob("*.py")):
            result.update(path.read_bytes())
    return result.hexdigest()
