"""A network of floats that answers alone, in sums that do not round."""

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.learning.network import Network
from kdlib.numerics.exact import Right


class FloatNetwork:
    """A `Network` of one replica, its weights snapped once: `logits` has its bits in a fraction of the time."""

    def __init__(self, network):
        self.network, self.sizes = network, network.sizes
        self._layers = [(Right(weights[0]), biases[0].astype(np.float64)) for weights, biases in network.layers]

    def logits(self, x):
        """x: (n, features) float64, scaled -> (n, classes) float64. A row's logits depend on no other row."""
        for index, (weights, biases) in enumerate(self._layers):
            x = weights.product(np.maximum(x, 0) if index else x) + biases
        return x

    def arrays(self):
        return self.network.arrays()

    def settings(self):
        """What its file says of it besides arrays, for JSON."""
        return {"kind": "float"}

    @classmethod
    def from_arrays(cls, arrays, settings):
        """Raises LookupError or ValueError if they are no such network's."""
        network = Network.from_arrays(arrays, Exact)
        if network.replicas != 1 or not np.isfinite(network.parameters).all():
            raise ValueError(f"{network.replicas} networks, or weights that are not finite")
        return cls(network)
