"""The two arithmetics in which a network can be trained. Code is written once and takes one of these classes."""

import math

import numpy as np

from kdlib.backends import dense, selection
from kdlib.numerics import elementary, exact, grids


class Exact:
    """The same bits on every machine: training in float32 on the grids of `kdlib.numerics.grids`.

    Losses, measures and inference are float64: see `kdlib.numerics.exact`.
    """

    dtype = np.float32  # of parameters, activations and their gradients
    logits_dtype = np.float64  # of logits and losses
    threads_matter = False  # whether the bits depend on the number of threads
    limit = grids.LIMIT  # largest magnitude of the training inputs
    dense = dense.ExactDense
    usable = staticmethod(grids.blas_is_exact)  # whether the products here are as the bound assumes
    exp = staticmethod(elementary.exp)
    log = staticmethod(elementary.log)
    matmul = staticmethod(exact.matmul)
    sum = staticmethod(exact.sum)
    unit_sum = staticmethod(exact.unit_sum)

    @staticmethod
    def softmax_gradient(
        logits: np.ndarray, targets: np.ndarray, temperature: float | np.ndarray | None = None
    ) -> np.ndarray:
        """Return (softmax(logits / T) - targets) / T, (R, n, classes)."""
        return selection.current.softmax_gradient(logits, targets, temperature, Exact)


class Fast:
    """Plain float32: quicker, and repeatable on one machine only."""

    dtype = np.float32
    logits_dtype = np.float32
    threads_matter = True
    limit = math.inf
    dense = dense.FastDense
    exp = staticmethod(np.exp)
    log = staticmethod(np.log)
    matmul = staticmethod(np.matmul)

    @staticmethod
    def usable() -> bool:
        return True

    @staticmethod
    def sum(x: np.ndarray, axis: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def softmax_gradient(
        logits: np.ndarray, targets: np.ndarray, temperature: float | np.ndarray | None = None
    ) -> np.ndarray:
        """Return (softmax(logits / T) - targets) / T, (R, n, classes)."""
        return selection.current.softmax_gradient(logits, targets, temperature, Fast)

    @staticmethod
    def unit_sum(x: np.ndarray) -> np.ndarray:
        """Return the sums over the last axis, which is kept."""
        return np.add.reduce(x, axis=-1, keepdims=True)


ARITHMETICS = {"exact": Exact, "fast": Fast}
