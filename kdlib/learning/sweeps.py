"""The settings of a sweep, trained as one stack, and which of them each split chooses."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from kdlib.errors import UserError
from kdlib.numerics import exact


def grid(**values):
    """{name: (G,)} of all combinations of the values, the last name's fastest."""
    return dict(zip(values, zip(*product(*values.values()), strict=True), strict=True))


@dataclass(frozen=True)
class Sweep:
    """settings: {name: (G,)}. loss, accuracy: (S, G, R) on each split's own validation rows, NaN of what diverged."""

    settings: dict
    loss: np.ndarray
    accuracy: np.ndarray

    def diverged(self):
        """(G,) bool: a network has, in any split. Such a setting is not chosen by the other splits either."""
        return ~np.isfinite(self.loss).all(axis=(0, 2))

    def mean_loss(self):
        """(S, G), over the replicas; infinite for a setting that has diverged."""
        return np.where(self.diverged(), np.inf, exact.mean(np.nan_to_num(self.loss), axis=-1))

    def chosen(self):
        """(S,) the setting of least validation loss, of each split alone: what it tests on has chosen nothing.

        Raises UserError where all settings have diverged.
        """
        if self.diverged().all():
            raise UserError("training diverged at every setting: lower learning_rate, or distill.temperature")
        return np.argmin(self.mean_loss(), axis=1)

    def deployed(self):
        """The setting of least mean validation loss over the splits."""
        usable = np.flatnonzero(~self.diverged())
        return int(usable[np.argmin(exact.mean(self.mean_loss()[:, usable], axis=0))])

    def arrays(self):
        named = {f"sweep_{name}": np.array(values) for name, values in self.settings.items()}
        return named | {"sweep_loss": self.loss, "sweep_accuracy": self.accuracy}

    @classmethod
    def from_arrays(cls, arrays):
        """Of `arrays`. Raises LookupError or ValueError if they hold no sweep."""
        named = {name.removeprefix("sweep_"): array for name, array in arrays.items() if name.startswith("sweep_")}
        loss, accuracy = named.pop("loss"), named.pop("accuracy")
        sizes = {len(values) for values in named.values()} | {loss.shape[1]}
        if loss.ndim != 3 or loss.shape != accuracy.shape or len(sizes) != 1:
            raise ValueError(f"a sweep of {sizes} settings with losses {loss.shape}, accuracies {accuracy.shape}")
        return cls({name: tuple(values.tolist()) for name, values in named.items()}, loss, accuracy)
