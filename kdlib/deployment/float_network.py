"""A float network that predicts by itself; its sums do not round."""

from collections.abc import Mapping

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.learning.network import Network
from kdlib.numerics.exact import SnappedMatrix


class FloatNetwork:
    """A `Network` of one replica, prepared for fast inference.

    The weights are snapped once, at construction. `logits` returns the same bits as `Network.logits` in a fraction of
    the time.

    Parameters
    ----------
    network : Network
        One replica.
    """

    def __init__(self, network: Network):
        self.network = network
        self.sizes = network.sizes
        self._layers = [(SnappedMatrix(weights[0]), biases[0].astype(np.float64)) for weights, biases in network.layers]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes) float64 of scaled features x (n, features) float64.

        The logits of a row do not depend on the other rows.
        """
        for index, (weights, biases) in enumerate(self._layers):
            x = weights.product(np.maximum(x, 0) if index else x) + biases
        return x

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights and biases by name, as `Network.arrays` does."""
        return self.network.arrays()

    def metadata(self) -> dict:
        """Return the metadata that the model file stores as JSON beside the arrays."""
        return {"kind": "float"}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], metadata: dict) -> "FloatNetwork":
        """Rebuild the network from what `arrays` and `metadata` returned.

        Raises
        ------
        LookupError, ValueError
            If the arrays are not those of one network with finite weights.
        """
        network = Network.from_arrays(arrays, EXACT)
        if network.replicas != 1 or not np.isfinite(network.parameters).all():
            raise ValueError(f"{network.replicas} networks, or weights that are not finite")
        return cls(network)
