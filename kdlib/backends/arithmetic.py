"""The two arithmetics in which a network can be trained. Code is written once and takes `EXACT` or `FAST`."""

import math

import numpy as np

from kdlib.backends.dense import ExactDense, FastDense
from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.numerics import elementary, exact, grids


class Arithmetic:
    """The base of both arithmetics.

    Parameters
    ----------
    backend : NumpyBackend
        It computes what a training needs for each batch: divergences and the gradient of softmax.

    Attributes
    ----------
    name : str
    dtype : type
        Of parameters, activations and their gradients.
    logits_dtype : type
        Of logits and losses.
    threads_matter : bool
        Whether the bits depend on the number of threads or ranks.
    max_magnitude : float
        Of the training inputs.
    dense : type
        The products of a layer, see `kdlib.backends.dense`.
    """

    name: str
    dtype: type[np.floating]
    logits_dtype: type[np.floating]
    threads_matter: bool
    max_magnitude: float
    dense: type[ExactDense] | type[FastDense]

    def __init__(self, backend: NumpyBackend = NUMPY):
        self.backend = backend

    @property
    def identity(self) -> str:
        """What a checkpoint compares; the back end changes no bit."""
        return self.name

    def on(self, backend: NumpyBackend) -> "Arithmetic":
        """Return the same arithmetic, computed by another back end."""
        return type(self)(backend)

    @staticmethod
    def usable() -> bool:
        """Return whether products have the promised bits on this machine."""
        raise NotImplementedError

    @staticmethod
    def exp(x: np.ndarray) -> np.ndarray:
        """Return e^x, elementwise."""
        raise NotImplementedError

    @staticmethod
    def log(x: np.ndarray) -> np.ndarray:
        """Return the natural logarithm, elementwise."""
        raise NotImplementedError

    @staticmethod
    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Multiply two stacks of matrices, (R, n, K) and (R, K, m)."""
        raise NotImplementedError

    @staticmethod
    def sum(x: np.ndarray, axis: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:
        """Add the terms over `axis`."""
        raise NotImplementedError

    @staticmethod
    def unit_sum(x: np.ndarray) -> np.ndarray:
        """Add terms in [0, 1] over the last axis, which is kept."""
        raise NotImplementedError

    def divergence(
        self,
        logits: np.ndarray,
        targets: np.ndarray,
        log_targets: np.ndarray | None = None,
        temperature: float | np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the divergence from softmax(logits / T), (R, n), see `kdlib.backends.numpy_backend.divergence`."""
        return self.backend.divergence(logits, targets, log_targets, temperature, self)

    def softmax_gradient(
        self, logits: np.ndarray, targets: np.ndarray, temperature: float | np.ndarray | None = None
    ) -> np.ndarray:
        """Return (softmax(logits / T) - targets) / T, (R, n, classes)."""
        return self.backend.softmax_gradient(logits, targets, temperature, self)


class Exact(Arithmetic):
    """The same bits on every machine: training in float32 on the grids of `kdlib.numerics.grids`.

    Losses, measures and inference are float64: see `kdlib.numerics.exact`.
    """

    name = "exact"
    dtype = np.float32
    logits_dtype = np.float64
    threads_matter = False
    max_magnitude = grids.MAX_MAGNITUDE
    dense = ExactDense
    usable = staticmethod(grids.blas_is_exact)
    exp = staticmethod(elementary.exp)
    log = staticmethod(elementary.log)
    matmul = staticmethod(exact.matmul)
    sum = staticmethod(exact.sum)
    unit_sum = staticmethod(exact.unit_sum)


class Fast(Arithmetic):
    """Plain float32: quicker, and repeatable on one machine only."""

    name = "fast"
    dtype = np.float32
    logits_dtype = np.float32
    threads_matter = True
    max_magnitude = math.inf
    dense = FastDense

    @staticmethod
    def usable() -> bool:
        return True

    @staticmethod
    def exp(x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    @staticmethod
    def log(x: np.ndarray) -> np.ndarray:
        return np.log(x)

    @staticmethod
    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.matmul(a, b)

    @staticmethod
    def sum(x: np.ndarray, axis: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def unit_sum(x: np.ndarray) -> np.ndarray:
        return np.add.reduce(x, axis=-1, keepdims=True)


EXACT = Exact()
FAST = Fast()
ARITHMETICS = {"exact": EXACT, "fast": FAST}
