"""The memory that a training needs at least; a training that cannot fit is refused.

The rule: a training is refused if it holds more bytes at once than this process may have. The number is a lower bound:
it counts only what is certainly held. So no training is refused that would fit.
"""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

from kdlib.backends.arithmetic import Arithmetic
from kdlib.io.errors import UserError
from kdlib.learning.epoch import rows_held
from kdlib.learning.network import parameter_count
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.recipe import Recipe

MEMORY_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))
MIN_PRINTED_BYTES = 1e9  # the bound is far below the truth: a smaller one tells a user nothing


def available() -> int | None:
    """Return the number of bytes that this process may have, or None if the system does not report it."""
    limits = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    with contextlib.suppress(ImportError, OSError):
        import resource

        limits += [limit for limit in resource.getrlimit(resource.RLIMIT_AS)[:1] if limit != resource.RLIM_INFINITY]
    return min(limits, default=None)


def memory_needed(recipe: Recipe, sizes: Sequence[int], networks: int, examples: int, dtypes: tuple[type, type]) -> int:
    """Compute the bytes that a stack holds at once in training.

    The examples are not counted, because they are memory-mapped, and all other targets are made from them when needed.
    Each example counts with its place in the order of the epoch and its loss. Logits and one target count for as many
    examples as `kdlib.learning.epoch` holds at once. The learning curves count too.

    Parameters
    ----------
    recipe : Recipe
    sizes : sequence of int
        Widths of the layers, input and output included.
    networks, examples : int
    dtypes : (type, type)
        Of parameters and of logits.

    Returns
    -------
    int
    """
    parameter_bytes, logit_bytes = (dtype().itemsize for dtype in dtypes)
    copies = 2 + len(OPTIMIZERS[recipe.optimizer].moment_names) + (recipe.patience is not None)  # with the gradient
    batch = min(recipe.batch_size, examples)
    network_bytes = parameter_bytes * (copies * parameter_count(sizes) + batch * sum(sizes))  # integers
    output_bytes = 2 * logit_bytes * sizes[-1] * rows_held(networks, sizes[-1], recipe.batch_size, examples)
    return networks * (network_bytes + 24 * recipe.epochs + (4 + logit_bytes) * examples + output_bytes)


def _words(count):
    """Write a number of bytes in words, rounded down."""
    name, size = next((unit for unit in MEMORY_UNITS if count >= unit[1]), MEMORY_UNITS[-1])
    count /= size
    if count >= 1e6:
        return f"{count:.2g} {name}"
    return f"{math.floor(count):,} {name}" if count >= 10 else f"{math.floor(10 * count) / 10:g} {name}"


def estimate(
    section: str, recipe: Recipe, sizes: Sequence[int], networks: int, examples: int, arithmetic: Arithmetic
) -> str:
    """Describe in words what a training needs at least; for a small one, only the number of its networks.

    Parameters
    ----------
    section : str
        Section of params.yaml, for messages.
    recipe : Recipe
    sizes : sequence of int
        Widths of the layers, input and output included.
    networks, examples : int
    arithmetic : Arithmetic

    Returns
    -------
    str

    Raises
    ------
    UserError
        If the training cannot fit.
    """
    needed = memory_needed(recipe, sizes, networks, examples, (arithmetic.dtype, arithmetic.logits_dtype))
    limit = available()
    memory = f"{_words(needed)} of memory"
    if limit is not None and needed > limit:
        raise UserError(
            f"{section}: {networks} networks need {memory} or more, and there are {_words(limit)}; lower"
            f" {section}.hidden or epochs, replicas, prepare.splits or the settings"
        )
    need = f" need at least {memory}" if needed >= MIN_PRINTED_BYTES else ""
    return f"{networks} networks of {parameter_count(sizes):,} parameters{need}"
