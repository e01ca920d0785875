"""When a replica stops, and which of its epochs is kept."""

import numpy as np


class EarlyStopping:
    """Keeps the parameters of each replica's epoch of least validation loss (Prechelt 1998), if `patience` is set."""

    def __init__(self, network, patience):
        self.network, self.patience = network, patience
        self.best = np.full(network.replicas, np.inf)
        self.waited = np.zeros(network.replicas, dtype=int)
        self.parameters = None if patience is None else network.parameters.copy()
        self.state = {} if patience is None else {"best": self.best, "waited": self.waited, "kept": self.parameters}

    @property
    def running(self):
        return np.ones(len(self.waited), bool) if self.patience is None else self.waited < self.patience

    def mask(self, values):
        """values: (R,) -> the same, NaN for the replicas that have stopped."""
        return np.where(self.running, values, np.nan)

    def after_epoch(self, loss):
        """loss: (R,), of the validation split. Returns whether all replicas have stopped."""
        if self.patience is None:
            return False
        better = self.running & (loss < self.best)
        self.best[better] = loss[better]
        self.parameters[better] = self.network.parameters[better]
        self.waited[:] = np.where(better, 0, self.waited + self.running)
        return not self.running.any()

    def restore(self):
        if self.patience is not None:
            self.network.parameters[:] = self.parameters
