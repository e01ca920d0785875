"""The settings of a sweep, trained as one stack, and which of them each split chooses."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning.network import Network
from kdlib.learning.objectives import SETTING
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.stack import parts
from kdlib.learning.training import CURVES
from kdlib.numerics import exact

LARGEST = 1e100  # magnitude of a setting, and of a loss that has not diverged


def grid(**values):
    """{name: (G,)} of all combinations of the values, the last name's fastest."""
    return dict(zip(values, zip(*product(*values.values()), strict=True), strict=True))


@dataclass(frozen=True)
class Sweep:
    """The settings of a sweep and what came of them on validation rows.

    settings: {name: (G,)} of numbers; a temperature or an alpha may be a `LinearSchedule`. loss, accuracy: (S, G, R) on
    each split's own validation rows, by the labels alone, NaN of what diverged.
    """

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

    def deployed_network(self):
        """(setting, split, replica) of the network that leaves: of the `deployed` setting's, of least validation loss.

        Splits have validation rows of their own, easier ones here than there, so that its loss is no estimate of what
        it is worth: that is the mean over the splits.
        """
        setting = self.deployed()
        split, replica = np.unravel_index(np.argmin(self.loss[:, setting]), self.loss[:, setting].shape)
        return setting, int(split), int(replica)

    def arrays(self):
        """{name: array}; of a setting with schedules (G, 2), from where to where."""
        named = {f"sweep_{name}": _numbers(values) for name, values in self.settings.items()}
        return named | {"sweep_loss": self.loss, "sweep_accuracy": self.accuracy}

    @classmethod
    def from_arrays(cls, arrays):
        """Of `arrays`. Raises LookupError or ValueError if they hold no sweep."""
        named = {name.removeprefix("sweep_"): array for name, array in arrays.items() if name.startswith("sweep_")}
        loss, accuracy = named.pop("loss"), named.pop("accuracy")
        values = {name: v.astype(np.float64) for name, v in named.items() if v.dtype.kind in "if" and _are(name, v)}
        if values.keys() != named.keys() or not all((np.abs(v) <= LARGEST).all() for v in values.values()):
            raise ValueError("a sweep whose settings are not numbers")
        if any((values[name] <= 0).any() for name in ("learning_rate", "temperature") if name in values):
            raise ValueError("a sweep of learning rates or temperatures that are not positive")
        if any(array.dtype != np.float64 for array in (loss, accuracy)) or 0 in loss.shape:
            raise ValueError(f"a sweep of losses {loss.dtype} {loss.shape} and accuracies {accuracy.dtype}")
        if (np.abs(loss[np.isfinite(loss)]) > LARGEST).any() or (np.abs(accuracy) > 1).any():
            raise ValueError("a sweep of losses and accuracies that no training has")
        sizes = {len(values) for values in named.values()} | {loss.shape[1]}
        if loss.ndim != 3 or loss.shape != accuracy.shape or len(sizes) != 1:
            raise ValueError(f"a sweep of {sizes} settings with losses {loss.shape}, accuracies {accuracy.shape}")
        sweep = cls({name: _settings(values) for name, values in named.items()}, loss, accuracy)
        if sweep.diverged().all():
            raise ValueError("a sweep of which every setting has diverged")
        return sweep


def _numbers(values):
    if not any(isinstance(value, LinearSchedule) for value in values):
        return np.array(values)
    return np.array([(v.start, v.end) if isinstance(v, LinearSchedule) else (v, v) for v in values], np.float64)


def _are(name, array):
    """Whether an array has the shape of what `_numbers` gives for this setting."""
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 2 and name in SETTING)


def _settings(array):
    """What `_numbers` was given."""
    if array.ndim == 1:
        return tuple(array.tolist())
    return tuple(start if start == end else LinearSchedule(start, end) for start, end in array.tolist())


def joined(networks, curves, chosen, replicas):
    """(network, curve) of the chosen settings of all splits. networks: of each split, settings by replicas.

    Curves of fewer epochs than others are filled with NaN.
    """
    first = networks[0]
    network = Network(first.sizes, len(networks) * replicas, first.arithmetic)
    epochs = max(curve[CURVES[0]].shape[1] for curve in curves)
    curve = {name: np.full((network.replicas, epochs), np.nan) for name in CURVES}
    for split, (own, setting) in enumerate(zip(parts(len(networks), network.replicas), chosen, strict=True)):
        of = slice(setting * replicas, (setting + 1) * replicas)
        network.parameters[own] = networks[split].parameters[of]
        for name, values in curves[split].items():
            curve[name][own, : values.shape[1]] = values[of]
    return network, curve
