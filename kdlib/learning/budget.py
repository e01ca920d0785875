"""What a training will need, told beforehand: one that cannot fit or cannot end is refused.

The rule: a training that holds more bytes at once than this process may have, or that would take more than a year at
RATE, is refused. Both are counted from below, by what surely is held and done, so that nothing that would fit is.
"""

import contextlib
import math
import os
from pathlib import Path

from kdlib.io.errors import UserError
from kdlib.learning.epoch import rows_held
from kdlib.learning.network import multiply_adds, parameter_count

RATE = 10**12  # multiply-adds a second: more than a server of 64 cores does in a training
STEP = 1e-5  # seconds of a layer in a step, however small
YEAR = 365 * 24 * 3600
MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)), (("years", YEAR), ("days", 86400), ("hours", 3600), ("minutes", 60))
WORTH_SAYING = 1e9, 600  # bytes and seconds: of less the bound, which is far from below, tells a user nothing


def available():
    """Bytes that this process may have, or None where the system does not say."""
    found = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    with contextlib.suppress(ImportError, OSError):
        import resource

        found += [limit for limit in resource.getrlimit(resource.RLIMIT_AS)[:1] if limit != resource.RLIM_INFINITY]
    return min(found, default=None)


def memory_needed(recipe, sizes, networks, examples, dtypes):
    """Bytes that the stack holds at once. sizes: widths of the layers. dtypes: of parameters and of logits.

    Of each example its place in the order and its loss, with the logits and one target of as many as are held at once:
    the examples themselves are mapped, and targets are made of them.
    """
    of_parameter, of_logit = (dtype().itemsize for dtype in dtypes)
    copies = 2 + MOMENTS[recipe.optimizer] + (recipe.patience is not None)  # with the gradient
    batch = min(recipe.batch_size, examples)
    each = of_parameter * (copies * parameter_count(sizes) + batch * sum(sizes))  # integers
    logits = 2 * of_logit * sizes[-1] * rows_held(networks, sizes[-1], recipe.batch_size, examples)
    return networks * (each + 24 * recipe.epochs + (4 + of_logit) * examples + logits)


def time_needed(recipe, sizes, networks, examples):
    """Seconds: forward, and backward to the weights and to the inputs of each layer but the first."""
    products = networks * examples * recipe.epochs * (3 * multiply_adds(sizes) - sizes[0] * sizes[1])
    return max(products / RATE, STEP * recipe.epochs * recipe.steps(examples) * (len(sizes) - 1))


def _words(value, units):
    """Of a lower bound, rounded down."""
    name, size = next((unit for unit in units if value >= unit[1]), units[-1])
    count = value / size
    if count >= 1e6:
        return f"{count:.2g} {name}"
    return f"{math.floor(count):,} {name}" if count >= 10 else f"{math.floor(10 * count) / 10:g} {name}"


def estimate(section, recipe, sizes, networks, examples, arithmetic):
    """Return what a training needs at least, in words; of a small one only how many networks it is.

    Parameters
    ----------
    section : str
        Of params.yaml, for messages.
    recipe : Recipe
    sizes : tuple of int
        Widths of the layers.
    networks, examples : int
    arithmetic : type
        Of `kdlib.backends.arithmetic.ARITHMETICS`.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If it cannot fit, or would take more than a year.
    """
    dtypes = arithmetic.dtype, arithmetic.logits_dtype
    needed, has = memory_needed(recipe, sizes, networks, examples, dtypes), available()
    seconds = time_needed(recipe, sizes, networks, examples)
    memory = f"{_words(needed, UNITS[0])} of memory"
    time = _words(seconds, UNITS[1])
    lower = f"lower {section}.hidden or epochs, replicas, prepare.splits or the settings"
    if has is not None and needed > has:
        raise UserError(
            f"{section}: {networks} networks need {memory} or more, and there are {_words(has, UNITS[0])}; {lower}"
        )
    if seconds > YEAR:
        raise UserError(f"{section}: {networks} networks need {time} or more; {lower}")
    said = [memory] * (needed >= WORTH_SAYING[0]) + [time] * (seconds >= WORTH_SAYING[1])
    need = f" need at least {' and '.join(said)}" if said else ""
    return f"{networks} networks of {parameter_count(sizes):,} parameters{need}"
