"""A stack of networks in parts, which are trained apart and put together: no bit depends on the cut."""

import math
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.io.atomic import exclusive
from kdlib.learning.checkpoints import Checkpoint, digest
from kdlib.learning.lazy_targets import of_rows, one_hot
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import CURVES, train
from kdlib.learning.validation import validate
from kdlib.numerics.streams import REPLICAS, Streams

STEP = 1 << 20  # products of a step from which on side by side is no quicker than one after the other


@dataclass(frozen=True)
class Part:
    """Networks with this recipe: of these splits, and of the settings and replicas with these numbers.

    file: what its checkpoints have behind the output's name. whole: it is a stack that was not cut.
    """

    recipe: Recipe
    splits: tuple
    settings: tuple
    replicas: tuple
    file: str = field(default="", compare=False)
    whole: bool = field(default=True, compare=False)

    @property
    def shape(self):
        return len(self.splits), len(self.settings), len(self.replicas)


@dataclass(frozen=True, eq=False)
class Work:
    """What all parts of a training need: a `kdlib.pipeline.jobs.Job`, the `Params` and the `Dataset`."""

    job: object
    params: object
    dataset: object

    def sizes(self, recipe):
        return self.dataset.x.shape[1], *recipe.hidden, len(self.dataset.class_names)

    @cached_property
    def digest(self):
        """SHA-256, in hex, of what decides the bytes, and of the code."""
        job, params = self.job, self.params
        of_job = [job.section, job.rows, job.target, type(job.target).__name__, job.settings]
        return digest([of_job, params.seed, params.arithmetic, self.dataset.digest])


def cut(work, stack):
    """The parts of a `Part`: the replicas of one setting in one split, as many of them as make a step of STEP products.

    They depend on nothing that may differ when a killed training goes on elsewhere: whatever the number of workers,
    each finds its checkpoint.
    """
    products = stack.recipe.batch_size * multiply_adds(work.sizes(stack.recipe))
    size, parts = max(1, STEP // products), []
    for split in stack.splits:
        for setting in stack.settings:
            for start in range(0, len(stack.replicas), size):
                own = (split,), (setting,), stack.replicas[start : start + size]
                parts.append(Part(stack.recipe, *own, f".{split}-{setting}-{own[2][0]}", whole=False))
    return parts


def train_part(work, part, progress=None, checkpoint=None):
    """{name: (networks, ...)}, in a stack's order: parameters, curves, and loss and accuracy on validation at the end.

    progress, checkpoint: see `kdlib.learning.training.train`. Raises UserError as that does.
    """
    job, params, dataset, splits = work.job, work.params, work.dataset, part.splits
    x = [dataset.scaled(job.rows[split], split) for split in splits]
    held_out = [dataset.rows("validation", split) for split in splits]
    validation = [(dataset.scaled(r, s), of_rows(dataset, r, s)) for r, s in zip(held_out, splits, strict=True)]
    settings = {name: tuple(values[k] for k in part.settings) for name, values in job.settings.items()}
    rates = settings["learning_rate"]
    recipe = replace(part.recipe, learning_rate=rates * len(splits) if len(rates) > 1 else rates[0])
    replicas = [split * REPLICAS + k for split in splits for _ in part.settings for k in part.replicas]
    objective = job.target.objective(one_hot(dataset, job.rows, splits), splits, settings)
    streams, survive = Streams(params.seed, job.section, tuple(replicas)), len(job.settings["learning_rate"]) > 1
    network, curve = train(x, objective, validation, recipe, streams, progress, checkpoint, survive)
    with np.errstate(all="ignore"):
        loss, accuracy = validate(network, validation)
    return {"parameters": network.parameters, "loss": loss, "accuracy": accuracy, **curve}


def put_together(work, results):
    """{split: {name: (settings * replicas, ...)}} of [(part, what `train_part` gave)], in any order."""
    size, whole = (len(work.job.settings["learning_rate"]), work.job.replicas), {}
    for part, result in results:
        networks = np.ix_(part.settings, part.replicas)
        for name, values in result.items():
            values = values.reshape(*part.shape, *values.shape[1:])
            for k, split in enumerate(part.splits):
                made = whole.setdefault(split, {})
                if name not in made:
                    made[name] = np.empty((*size, *values.shape[3:]), values.dtype)
                made[name][networks] = values[k]
    return {split: {n: v.reshape(-1, *v.shape[2:]) for n, v in made.items()} for split, made in whole.items()}


class Finished:
    """The file of a part that is trained, until the whole is put together. result: as of `train_part`, or None."""

    def __init__(self, work, part):
        path, self._epochs = f"{work.job.path}{part.file}", part.recipe.epochs
        self._file, self._before = Checkpoint(f"{path}.trained", 1), Checkpoint(path, 1)
        networks = math.prod(part.shape)  # integers
        stack = Network(work.sizes(part.recipe), networks, ARITHMETICS[work.params.arithmetic])
        result = {"parameters": stack.parameters, "loss": np.empty(networks), "accuracy": np.empty(networks)}
        result |= {name: np.empty((networks, self._epochs)) for name in CURVES}
        self.result = result if self._file.resume([work.digest, part], result, []) else None

    def keep(self, result):
        self._file.after_epoch(self._epochs, result, [])
        self._before.remove()


def _left(path):
    """The names of the checkpoints of the output `path`, of any cut, half written ones with them."""
    path = Path(path)
    name = re.compile(rf"\.?({re.escape(path.name)}(\.[\w.-]+)?\.checkpoint)(\.lock|\.\w+\.tmp)?")
    return {match[1] for file in path.parent.iterdir() if (match := name.fullmatch(file.name))}


def begun(path):
    """Whether there are checkpoints of parts."""
    return any(re.search(r"\.\d+-\d+-\d+\.", name) for name in _left(path))


def sweep(path):
    """Remove the checkpoints of the output, and what kills left of them."""
    for name in _left(path):
        file = Path(path).parent / name
        with exclusive(file):
            file.unlink(missing_ok=True)
