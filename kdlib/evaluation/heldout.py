"""Logits of the networks for the validation and test examples of each split, with the labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.data.scaled import row_chunks
from kdlib.io.chunks import all_finite, zeros_or_tempfile
from kdlib.io.errors import UserError
from kdlib.learning.model_file import Model
from kdlib.learning.network import Network
from kdlib.learning.stack import network_slices

NETWORKS = ("teacher", "baseline", "student")
EVALUATED = ("validation", "test")


@dataclass(frozen=True)
class HeldoutLogits:
    """Logits and labels of the held-out examples.

    Parameters
    ----------
    logits : dict
        {network: {subset: [S arrays (R, n, classes)]}} for the networks in NETWORKS, `calibrated` if the student was
        calibrated, and `quantized` if it was quantized. The teacher has R = 1.
    labels : dict
        {subset: [S arrays (n,)]}.
    in_transfer_classes : list of S arrays, (n,) bool
        Which validation examples have a class of the transfer set.
    first_occurrence : list of S arrays, (n,) bool
        Which test examples are in no earlier split's test set.
    """

    logits: dict
    labels: dict
    in_transfer_classes: list
    first_occurrence: list

    @property
    def splits(self) -> int:
        """Number of splits, S."""
        return len(self.in_transfer_classes)

    def measure(self, network: str, subset: str, measure: Callable) -> list[np.ndarray]:
        """Apply a function of logits and labels to each split.

        Parameters
        ----------
        network : str
        subset : str
            `validation` or `test`.
        measure : callable
            (R, n, classes), (n,) -> (R,); see `kdlib.evaluation.metrics`.

        Returns
        -------
        list of S arrays
        """
        return [measure(*pair) for pair in zip(self.logits[network][subset], self.labels[subset], strict=True)]

    @property
    def test_examples(self) -> int:
        """Number of different test examples of all splits together."""
        return int(np.count_nonzero(np.concatenate(self.first_occurrence)))

    def pooled(self, network: str) -> tuple[np.ndarray, np.ndarray]:
        """Pool the test examples of all splits, each once: as the first replica of its first split predicts it.

        Returns
        -------
        logits : np.ndarray, (1, N, classes)
        labels : np.ndarray, (N,)
        """
        stacks = zip(self.logits[network]["test"], self.labels["test"], self.first_occurrence, strict=True)
        logits, labels = zip(*((stack[:1, first], own[first]) for stack, own, first in stacks), strict=True)
        return np.concatenate(logits, axis=1), np.concatenate(labels)


def _in_blocks(rows, logits_of):
    """Apply `logits_of`, rows (m,) -> (R, m, classes), to chunks of rows; return (R, n, classes)."""
    result = None
    for block in row_chunks(len(rows)):
        logits = logits_of(rows[block])
        if result is None:
            result = zeros_or_tempfile((len(logits), len(rows), logits.shape[-1]), logits.dtype)
        result[:, block] = logits
    return result


def _of_rows(dataset, split, logits_of_inputs):
    """Turn a function of inputs into a function of rows."""
    return lambda rows: logits_of_inputs(dataset.inputs(rows, split))


def predict_heldout(
    dataset: Dataset,
    models: dict[str, Model],
    transfer_classes: Sequence[str] | None = None,
    quantized: Sequence = (),
    calibrated: Network | None = None,
) -> HeldoutLogits:
    """Compute the logits of all networks for the held-out examples.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}. The teacher's logits are those in its file.
    transfer_classes : sequence of str, optional
        Classes of the transfer set; None: all.
    quantized : sequence, optional
        The student's networks as integers, in the order of its stack. Each has a method `logits` of inputs.
    calibrated : Network, optional
        The student's stack with its temperatures, see `kdlib.learning.calibration`.

    Returns
    -------
    HeldoutLogits

    Raises
    ------
    UserError
        If a network's logits are not finite.
    """
    rows = {subset: [dataset.rows(subset, split) for split in range(dataset.splits)] for subset in EVALUATED}
    networks = {name: models[name].network for name in NETWORKS[1:]}
    networks |= {"calibrated": calibrated} if calibrated else {}
    names = ("teacher", *networks, *(["quantized"] if quantized else []))
    logits = {name: {subset: [] for subset in EVALUATED} for name in names}
    for subset, of_splits in rows.items():
        for split, own in enumerate(of_splits):
            from_file = models["teacher"].logits[split]
            logits["teacher"][subset].append(_in_blocks(own, lambda some, of=from_file: of[some][None]))
            for name, network in networks.items():
                stack = network.select(network_slices(dataset.splits, network.replicas)[split])
                with np.errstate(all="ignore"):
                    computed = _in_blocks(own, _of_rows(dataset, split, stack.logits))
                if not all_finite(computed):
                    raise UserError(f"the {name}'s logits on the {subset} split are not finite: train it again")
                logits[name][subset].append(computed)
            if quantized:
                stack = quantized[network_slices(dataset.splits, len(quantized))[split]]
                of_rows = _of_rows(dataset, split, lambda x, stack=stack: np.stack([one.logits(x) for one in stack]))
                logits["quantized"][subset].append(_in_blocks(own, of_rows))
    labels = {subset: [dataset.y[own] for own in of_splits] for subset, of_splits in rows.items()}
    is_transfer_class = np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    in_transfer_classes = [is_transfer_class[own] for own in labels["validation"]]
    first_rows = np.unique(np.concatenate(rows["test"]), return_index=True)[1]
    ends = np.cumsum([len(own) for own in rows["test"]])[:-1]  # lint: integer sum
    first_occurrence = np.split(np.isin(np.arange(len(np.concatenate(rows["test"]))), first_rows), ends)
    return HeldoutLogits(logits, labels, in_transfer_classes, first_occurrence)
