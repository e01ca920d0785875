"""Checkpoints: a training that was killed resumes from a file and gives the same bytes as an uninterrupted one."""

import functools
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdlib.backends.ranks import SINGLE_RANK, SingleRank
from kdlib.io import artifacts
from kdlib.io.atomic import file_lock
from kdlib.io.errors import UserError

log = logging.getLogger("checkpoint")
MAX_STATE_CHARACTERS = 256  # of one generator, in JSON
# The whole library, and the stages beside it. A list of only the modules that train would become incomplete.
CODE_FOLDERS = Path(__file__).parents[1], Path(__file__).parents[2] / "stages"


class Checkpoint:
    """Save the state of a training beside its output file.

    Only the first rank reads and writes the file, so any number of ranks can resume from it. The file holds two
    digests. `digest` is of the arguments and the code; it must equal this run's. `content` is of the file itself; it
    shows damage or edits. A file whose digests do not fit is not used.

    Parameters
    ----------
    path : Path or str
        The output of the training; ".checkpoint" is appended for the file.
    every : int or None
        Save after each `every` epochs. 0 or None: never.
    ranks : SingleRank or Ranks
        All ranks resume from what the first one read.
    """

    def __init__(self, path: Path | str, every: int | None, ranks: SingleRank = SINGLE_RANK):
        self.path = Path(f"{path}.checkpoint")
        self.every = every
        self._fingerprint = None
        self._ranks = ranks

    def resume(self, arguments: Any, state: dict[str, np.ndarray], generators: list[np.random.Generator]) -> int:
        """Restore the saved state, if the file is there and belongs to this training.

        Parameters
        ----------
        arguments : nested dicts, sequences and dataclasses of arrays and values
            Everything that the training depends on.
        state : dict of arrays
            They are overwritten in place.
        generators : list of numpy.random.Generator
            Their states are overwritten.

        Returns
        -------
        int
            Number of epochs that are done; 0 if nothing was restored.

        Raises
        ------
        UserError
            If the ranks have different arguments or different code.
        """
        self._fingerprint = run_fingerprint(arguments)
        check_same_on_all_ranks(self._ranks, "digests of parameters, data and code", self._fingerprint)
        epochs = self._read(state, generators) if self._ranks.first else 0
        if self._ranks.size > 1:
            epochs = _broadcast(self._ranks, epochs, state, generators)
        return epochs

    def _read(self, state, generators):
        """Restore from the file; log a warning and return 0 if it is not usable."""
        if not self.path.exists():
            return 0
        try:
            epochs, arrays, generator_states = self._verified(state, generators)
        except UserError as error:
            log.warning("not resumed: %s", error)
            return 0
        for name, array in state.items():
            array[...] = arrays[name]
        for generator, content in zip(generators, generator_states, strict=True):
            generator.bit_generator.state = content
        log.info("resumed after epoch %d from %s", epochs, self.path)
        return epochs

    def _verified(self, state, generators):
        """Return (epochs, arrays, states of the generators); UserError if the file is not of this training."""
        stored = artifacts.read_npz(self.path, ["content", "digest", "epochs", "generators", *state])
        if str(stored.pop("content")) != artifacts.array_digest(stored):
            raise UserError(f"{self.path}: its content does not have the digest that it names")
        if str(stored["digest"]) != self._fingerprint:
            raise UserError(f"{self.path} belongs to other parameters, data or code")
        try:
            epochs = int(stored["epochs"])
            generator_states = json.loads(str(stored["generators"]))
            for content in generator_states:
                np.random.PCG64().state = content
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError):
            raise UserError(f"{self.path}: not a number of epochs and states of generators") from None
        same = all((stored[n].shape, stored[n].dtype) == (array.shape, array.dtype) for n, array in state.items())
        if not same or epochs < 1 or len(generator_states) != len(generators):
            raise UserError(f"{self.path}: not the state of this training")
        return epochs, stored, generator_states

    def after_epoch(self, epochs: int, state: dict[str, np.ndarray], generators: list[np.random.Generator]) -> None:
        """Write the file if the number of epochs that are done is a multiple of `every`."""
        if self.every and epochs % self.every == 0 and self._ranks.first:
            content = {"digest": self._fingerprint, "epochs": epochs, "generators": _states_as_json(generators)}
            arrays = state | {name: np.array(value) for name, value in content.items()}
            artifacts.write_npz(self.path, arrays | {"content": np.array(artifacts.array_digest(arrays))})

    def remove(self) -> None:
        """Delete the file, and any unfinished one that a killed process left."""
        with file_lock(self.path):
            self.path.unlink(missing_ok=True)


def check_same_on_all_ranks(ranks: SingleRank, subject: str, text: str) -> None:
    """Check that all ranks have the same text.

    Parameters
    ----------
    ranks : SingleRank or Ranks
    subject : str
        Subject of the error message.
    text : str
        The text of this rank.

    Raises
    ------
    UserError
        If the texts differ.
    """
    texts = ranks.allgather(text)
    for rank, other in enumerate(texts):
        if other != texts[0]:
            raise UserError(
                f"{subject} differ: rank 0 has {texts[0]}, rank {rank} {other}; they must be the same on all"
            )


def _broadcast(ranks, epochs, state, generators):
    """Copy what the first rank has read to all ranks; return the epochs."""
    epochs = int(ranks.broadcast(np.array([epochs]))[0])
    if epochs:
        for _, array in sorted(state.items()):
            ranks.broadcast(array)
        text = _states_as_json(generators).encode().ljust(MAX_STATE_CHARACTERS * len(generators))
        content = np.frombuffer(text, np.uint8).copy()
        states = json.loads(bytes(ranks.broadcast(content)))
        for generator, generator_state in zip(generators, states, strict=True):
            generator.bit_generator.state = generator_state
    return epochs


def _states_as_json(generators):
    return json.dumps([generator.bit_generator.state for generator in generators])


def run_fingerprint(arguments: Any) -> str:
    """Compute a fingerprint of everything that a training depends on: its arguments and the code.

    Parameters
    ----------
    arguments : nested dicts, sequences and dataclasses of arrays and values
        An object with an attribute `identity` is replaced by that attribute.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    result = hashlib.sha256()

    def add(value):
        if isinstance(value, np.ndarray):
            result.update(f"{value.dtype.str} {value.shape}".encode())
            result.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
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
    result.update(code_fingerprint(CODE_FOLDERS).encode())
    return result.hexdigest()


@functools.cache
def code_fingerprint(folders: Sequence[Path] = CODE_FOLDERS) -> str:
    """Compute the SHA-256, in hex, of the Python files in these folders and below.

    The files are read at the first call only: later changes do not matter to a running process.
    """
    result = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            result.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            result.update(content)
    return result.hexdigest()
