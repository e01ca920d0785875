"""The memory and time that a training needs at least; a training that cannot fit or cannot end is refused.

The rule: a training is refused if it holds more bytes at once than this process may have, or if it takes more than a
year at MULTIPLY_ADDS_PER_SECOND, or at SECONDS_PER_LAYER for each layer of each step. All are lower bounds: they count
only what is certainly held and done. So no training is refused that would fit.
"""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

from kdlib.backends.arithmetic import Arithmetic
from kdlib.io.errors import UserError
from kdlib.learning.epoch import buffer_rows
from kdlib.learning.network import multiply_adds, parameter_count
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.recipe import Recipe

MULTIPLY_ADDS_PER_SECOND = 10**12  # more than a server of 64 cores does in a training
# Of a layer in a step, however small. Measured, in float32 by compiled kernels, one network, one example a step: 3e-6.
SECONDS_PER_LAYER = 1e-7
YEAR = 365 * 24 * 3600  # seconds
MEMORY_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))
TIME_UNITS = (("years", YEAR), ("days", 86400), ("hours", 3600), ("minutes", 60))
MIN_PRINTED_BYTES = 1e9


def available_memory() -> int | None:
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

    It counts for each network: the parameters with their copies, a batch, the learning curves, and logits and one
    target for as many examples as `kdlib.learning.epoch` holds at once. Per example are counted: its index in the
    epoch's order, and its loss. It does not count the examples, which may be memory-mapped, nor further targets, which
    are made when they are needed.

    Parameters
    ----------
    recipe : Recipe
    sizes : sequence of int
        Widths of the layers, input and output included.
    networks : int
    examples : int
        Training examples, without their further views.
    dtypes : (type, type)
        The dtypes of parameters and of logits.

    Returns
    -------
    int
    """
    parameter_bytes, logit_bytes = (dtype().itemsize for dtype in dtypes)
    copies = 2 + len(OPTIMIZERS[recipe.optimizer].moment_names) + (recipe.keep == "best")  # with the gradient
    batch = min(recipe.batch_size, examples)
    network_bytes = parameter_bytes * (copies * parameter_count(sizes) + batch * sum(sizes))  # lint: integer sum
    output_bytes = 2 * logit_bytes * sizes[-1] * buffer_rows(networks, sizes[-1], recipe.batch_size, examples)
    return networks * (network_bytes + 24 * recipe.epochs + (4 + logit_bytes) * examples + output_bytes)


def time_needed(recipe: Recipe, sizes: Sequence[int], networks: int, examples: int) -> float:
    """Compute the seconds that a training takes at least. The parameters are as for `memory_needed`, without `dtypes`.

    It is the larger of two bounds: the multiply-adds (forward, gradients of all weights, gradients of the inputs of all
    layers but the first), and SECONDS_PER_LAYER for each layer of each step.
    """
    products = networks * examples * recipe.epochs * (3 * multiply_adds(sizes) - sizes[0] * sizes[1])
    overhead = SECONDS_PER_LAYER * recipe.epochs * recipe.steps(examples * recipe.views) * (len(sizes) - 1)
    return max(products / MULTIPLY_ADDS_PER_SECOND, overhead)


def _words(value, units):
    """Write a size in words, rounded down; from a million units on, rounded to two digits."""
    name, size = next((unit for unit in units if value >= unit[1]), units[-1])
    count = value / size
    if count >= 1e6:
        return f"{count:.2g} {name}"
    return f"{math.floor(count):,} {name}" if count >= 10 else f"{math.floor(10 * count) / 10:g} {name}"


def estimate(
    section: str, recipe: Recipe, sizes: Sequence[int], networks: int, examples: int, arithmetic: Arithmetic
) -> str:
    """Describe in words how large a training is: networks, parameters and, if it is a GB or more, the least memory.

    The least time is far below the truth, so it only refuses. `kdlib.pipeline.forecast` tells the time, by measuring.

    Parameters
    ----------
    section : str
        Section of params.yaml, for messages.
    recipe : Recipe
    sizes : sequence of int
        Widths of the layers, input and output included.
    networks : int
    examples : int
        Training examples, without their further views.
    arithmetic : Arithmetic

    Returns
    -------
    str

    Raises
    ------
    UserError
        If the training cannot fit, or would take more than a year.
    """
    needed = memory_needed(recipe, sizes, networks, examples, (arithmetic.dtype, arithmetic.logits_dtype))
    limit = available_memory()
    seconds = time_needed(recipe, sizes, networks, examples)
    memory = f"{_words(needed, MEMORY_UNITS)} of memory"
    lower = f"lower {section}.hidden or epochs, replicas, prepare.splits or the settings"
    if limit is not None and needed > limit:
        allowed = _words(limit, MEMORY_UNITS)
        raise UserError(f"{section}: {networks} networks need {memory} or more, and there are {allowed}; {lower}")
    if seconds > YEAR:
        raise UserError(f"{section}: {networks} networks need {_words(seconds, TIME_UNITS)} or more; {lower}")
    need = f" need at least {memory}" if needed >= MIN_PRINTED_BYTES else ""
    return f"{networks} networks of {parameter_count(sizes):,} parameters{need}"
