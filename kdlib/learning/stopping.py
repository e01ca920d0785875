"""Early stopping: when a replica stops, and which of its epochs is kept."""

import numpy as np

from kdlib.learning.network import Network


class EarlyStopping:
    """Keep the parameters of each replica from its epoch with the lowest validation loss.

    Parameters
    ----------
    network : Network
        The stack that is trained.
    patience : int or None
        A replica stops after this many epochs without a lower validation loss. None: no replica stops.
    keep_best : bool
        Whether the best epoch is kept; otherwise the last one, and there is no patience.

    Attributes
    ----------
    state : dict of arrays
        What a checkpoint has to save; empty if the last epoch is kept.

    References
    ----------
    Prechelt, "Early Stopping - But When?" (1998).
    """

    def __init__(self, network: Network, patience: int | None, keep_best: bool = True):
        self.network = network
        self.patience = patience
        self.best = np.full(network.replicas, np.inf)
        self.waited = np.zeros(network.replicas, dtype=int)
        self.parameters = None
        self.state = {}
        if keep_best:
            self.parameters = network.parameters.copy()
            self.state = {"best": self.best, "waited": self.waited, "kept": self.parameters}

    @property
    def running(self) -> np.ndarray:
        """The replicas that have not stopped, (R,) bool."""
        return np.ones(len(self.waited), bool) if self.patience is None else self.waited < self.patience

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Return the values (R,) with NaN for the replicas that have stopped."""
        return np.where(self.running, values, np.nan)

    def after_epoch(self, loss: np.ndarray) -> bool:
        """Keep the parameters of the replicas that have improved.

        Parameters
        ----------
        loss : (R,) array
            Mean loss on the validation subset.

        Returns
        -------
        bool
            Whether all replicas have stopped.
        """
        if self.parameters is None:
            return False
        better = self.running & (loss < self.best)
        self.best[better] = loss[better]
        self.parameters[better] = self.network.parameters[better]
        self.waited[:] = np.where(better, 0, self.waited + self.running)
        return not self.running.any()

    def restore(self) -> None:
        """Write the kept parameters back to the network. A replica without a finite validation loss keeps its own."""
        if self.parameters is not None:
            found = np.isfinite(self.best)
            self.network.parameters[found] = self.parameters[found]
