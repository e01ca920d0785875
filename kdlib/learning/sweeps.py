"""The settings of a sweep, trained as one stack, and the choice of a setting by validation loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning.network import Network
from kdlib.learning.objectives import SETTING_CONSTRAINTS
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.stack import network_slices
from kdlib.learning.training import CURVES
from kdlib.numerics import exact

MAX_MAGNITUDE = 1e100  # of a setting, and of a loss that has not diverged: its square is finite


def grid(**values: Sequence) -> dict[str, tuple]:
    """Return all combinations of the values, one tuple of length G for each name; the last name varies fastest.

    Examples
    --------
    >>> grid(temperature=[2, 4], alpha=[0.5, 0.9])
    {'temperature': (2, 2, 4, 4), 'alpha': (0.5, 0.9, 0.5, 0.9)}
    """
    return dict(zip(values, zip(*product(*values.values()), strict=True), strict=True))


@dataclass(frozen=True)
class Sweep:
    """The G settings of a sweep and their results on validation rows, for S splits and R replicas of each setting.

    Parameters
    ----------
    settings : dict of str to tuple of length G
        Numbers; a temperature or an alpha may be a `LinearSchedule`.
    loss, accuracy : ndarray, shape (S, G, R)
        On each split's own validation rows, measured with the labels only. Of a network that has diverged the loss is
        NaN, and the accuracy a number that means nothing.
    """

    settings: dict
    loss: np.ndarray
    accuracy: np.ndarray

    def diverged(self) -> np.ndarray:
        """Mark the settings with a diverged network in any split, (G,) bool; no split chooses such a setting."""
        return ~np.logical_and.reduce(np.isfinite(self.loss), axis=(0, 2))

    def mean_loss(self) -> np.ndarray:
        """Compute the mean loss over the replicas, (S, G); it is infinite for a setting that has diverged."""
        return np.where(self.diverged(), np.inf, exact.mean(np.nan_to_num(self.loss), axis=-1))

    def chosen(self) -> np.ndarray:
        """Choose for each split the setting with the least mean validation loss in this split.

        A setting that diverged in any split is excluded. Among the others only the validation rows of this split
        decide. A test row of this split may be a validation row of another one, but it does not rank the
        settings of this one.

        Returns
        -------
        ndarray of int, shape (S,)

        Raises
        ------
        UserError
            If all settings have diverged.
        """
        if self.diverged().all():
            raise UserError("training diverged at every setting: lower learning_rate, or distill.temperature")
        return np.argmin(self.mean_loss(), axis=1)

    def deploy_setting(self) -> int:
        """Return the setting with the least validation loss, averaged over all splits."""
        usable = np.flatnonzero(~self.diverged())
        return int(usable[np.argmin(exact.mean(self.mean_loss()[:, usable], axis=0))])

    def deployed_network(self) -> tuple[int, int, int]:
        """Return (setting, split, replica) of the network to deploy.

        It has the least validation loss of all networks with the `deploy_setting`. Its loss is
        optimistic: it was chosen as the least, and some splits have easier rows. Expect the mean over the splits.
        """
        setting = self.deploy_setting()
        split, replica = np.unravel_index(np.argmin(self.loss[:, setting]), self.loss[:, setting].shape)
        return setting, int(split), int(replica)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the content of a file: a setting with schedules is (G, 2), start and end; others are (G,)."""
        named = {f"sweep_{name}": _numbers(values) for name, values in self.settings.items()}
        return named | {"sweep_loss": self.loss, "sweep_accuracy": self.accuracy}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Sweep":
        """Make a sweep from what `arrays` returned; other arrays are ignored.

        Raises
        ------
        LookupError, ValueError
            If the arrays hold no valid sweep.
        """
        named = {name.removeprefix("sweep_"): array for name, array in arrays.items() if name.startswith("sweep_")}
        loss = named.pop("loss")
        accuracy = named.pop("accuracy")
        values = {
            name: array.astype(np.float64)
            for name, array in named.items()
            if array.dtype.kind in "if" and _has_valid_shape(name, array)
        }
        if values.keys() != named.keys() or not all((np.abs(v) <= MAX_MAGNITUDE).all() for v in values.values()):
            raise ValueError("a sweep whose settings are not numbers")
        if any((values[name] <= 0).any() for name in ("learning_rate", "temperature") if name in values):
            raise ValueError("a sweep of learning rates or temperatures that are not positive")
        if any(array.dtype != np.float64 for array in (loss, accuracy)) or 0 in loss.shape:
            raise ValueError(f"a sweep of losses {loss.dtype} {loss.shape} and accuracies {accuracy.dtype}")
        if (np.abs(loss[np.isfinite(loss)]) > MAX_MAGNITUDE).any() or (np.abs(accuracy) > 1).any():
            raise ValueError("a sweep of losses and accuracies that no training has")
        sizes = {len(values) for values in named.values()} | {loss.shape[1]}
        if loss.ndim != 3 or loss.shape != accuracy.shape or len(sizes) != 1:
            raise ValueError(f"a sweep of {sizes} settings with losses {loss.shape}, accuracies {accuracy.shape}")
        sweep = cls({name: _settings(values) for name, values in named.items()}, loss, accuracy)
        if sweep.diverged().all():
            raise ValueError("a sweep of which every setting has diverged")
        return sweep


def _numbers(values):
    """Return settings as an array, (G,), or (G, 2) if any of them is a schedule."""
    if not any(isinstance(value, LinearSchedule) for value in values):
        return np.array(values)
    return np.array([(v.start, v.end) if isinstance(v, LinearSchedule) else (v, v) for v in values], np.float64)


def _has_valid_shape(name, array):
    """Return whether `_numbers` can give an array of this shape for this setting."""
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 2 and name in SETTING_CONSTRAINTS)


def _settings(array):
    """Invert `_numbers`."""
    if array.ndim == 1:
        return tuple(array.tolist())
    return tuple(start if start == end else LinearSchedule(start, end) for start, end in array.tolist())


def concat_networks(
    networks: Sequence[Network], curves: Sequence[Mapping[str, np.ndarray]], chosen: Sequence[int], replicas: int
) -> tuple[Network, dict[str, np.ndarray]]:
    """Join the networks of each split's chosen setting into one stack.

    Parameters
    ----------
    networks : sequence of S Network
        The stack of each split: G settings by R replicas.
    curves : sequence of S mappings of str to ndarray, shape (G * R, epochs)
        Their learning curves, see `kdlib.learning.training.CURVES`.
    chosen : sequence of S int
        The chosen setting of each split.
    replicas : int
        R.

    Returns
    -------
    network : Network
        A stack of S * R networks.
    curve : dict of str to ndarray, shape (S * R, epochs)
        If a curve has fewer epochs than others, NaN fills the rest.
    """
    first = networks[0]
    network = Network(first.sizes, len(networks) * replicas, first.arithmetic)
    epochs = max(curve[CURVES[0]].shape[1] for curve in curves)
    joined_curve = {name: np.full((network.replicas, epochs), np.nan) for name in CURVES}
    for split, (own, setting) in enumerate(zip(network_slices(len(networks), network.replicas), chosen, strict=True)):
        source = slice(setting * replicas, (setting + 1) * replicas)
        network.parameters[own] = networks[split].parameters[source]
        for name, values in curves[split].items():
            joined_curve[name][own, : values.shape[1]] = values[source]
    return network, joined_curve
