"""Detect a collapsed training: a gain over a network that failed to train would mean nothing.

A network has collapsed if on the validation subset
1. it predicts hardly more than a constant. The constant predicts the class frequencies of the labelled training rows.
   The network's NLL has to be below the constant's by a hundredth of it, and by LIKELIHOOD_NATS over all examples. It
   is enough if a less confident version of the network reaches this: a fraction (FRACTIONS) of its logits, less their
   means, added to the logits of the constant. So a good model of a rare event, which may never predict that class,
   has not collapsed; nor has one that is overconfident, or was trained with class weights; or
2. its NLL is more than twice that of a fresh network, log(classes); or
3. it is clearly below a linear model of the same inputs and labels: its NLL is above the linear model's, its balanced
   accuracy is not, and its accuracy or its balanced accuracy is more than 2 points below by the upper end of its 95 %
   interval, or its NLL is above the constant's. The rule holds only for a network that can represent a linear model; a
   network with a hidden layer narrower than classes - 1 cannot.
A stack has collapsed if 1 or 2 holds for one of its replicas, or 3 for their mean.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.evaluation import metrics
from kdlib.evaluation.heldout import HeldoutLogits
from kdlib.evaluation.intervals import wilson_interval
from kdlib.learning.model_file import Model
from kdlib.learning.network import Network
from kdlib.numerics import elementary, exact

MIN_PROGRESS = 0.01  # of the constant's NLL
LIKELIHOOD_NATS = 2.0  # the 95 % point of a likelihood ratio with one parameter, about 3.84 / 2
FRACTIONS = (1.0, 1 / 4, 1 / 16, 1 / 64)
MAX_NLL_RATIO = 2.0  # to a fresh network
LINEAR_MARGIN = 0.02  # of accuracy


@dataclass(frozen=True)
class SplitPerformance:
    """Performance of R networks on the n validation examples of one split.

    Parameters
    ----------
    nll : np.ndarray, (R,)
        In nats.
    best_nll : np.ndarray, (R,)
        The least NLL of the network and its less confident versions, see rule 1.
    correct_by_class : np.ndarray, (R, K)
        How many examples of each of the K occurring classes are predicted correctly.
    class_counts : np.ndarray, (K,)
        How many examples each of these classes has.
    constant_nll : float
        NLL of the class frequencies.
    n_classes : int
        Number of classes of the dataset.
    """

    nll: np.ndarray
    best_nll: np.ndarray
    correct_by_class: np.ndarray
    class_counts: np.ndarray
    constant_nll: float
    n_classes: int

    @classmethod
    def measure(cls, logits: np.ndarray, labels: np.ndarray, frequencies: np.ndarray) -> "SplitPerformance":
        """Measure networks.

        Parameters
        ----------
        logits : np.ndarray, (R, n, classes)
        labels : np.ndarray, (n,)
        frequencies : np.ndarray, (classes,)
            How many labelled training rows each class has.
        """
        counts = np.bincount(labels, minlength=len(frequencies))
        occurring = np.flatnonzero(counts)
        correct = np.diagonal(metrics.confusion(logits, labels), axis1=1, axis2=2)[:, occurring]
        constant_logits = elementary.log(np.maximum(frequencies, 0.5) / np.sum(frequencies))  # lint: integer sum
        constant = -exact.sum((constant_logits * counts)[None], axis=1)[0] / len(labels)
        nll = metrics.negative_log_likelihood(logits, labels)
        own = cls(nll, nll, correct, counts[occurring], float(constant), len(frequencies))
        if not own.near_constant().any():
            return own
        means = np.stack([exact.mean(stack.astype(np.float64).T, axis=1) for stack in logits])[:, None]
        less_confident = [
            metrics.negative_log_likelihood(
                logits, labels, lambda block, fraction=fraction: constant_logits + fraction * (block - means)
            )
            for fraction in FRACTIONS
        ]
        return replace(own, best_nll=np.minimum.reduce([nll, *less_confident]))

    def near_constant(self) -> np.ndarray:
        """Return for each network whether it predicts hardly more than a constant: (R,) bool."""
        likely = LIKELIHOOD_NATS / np.sum(self.class_counts)  # lint: integer sum
        # At most half of the constant's NLL: with two or three examples no network could gain more.
        return self.constant_nll - self.best_nll < max(
            MIN_PROGRESS * self.constant_nll, min(likely, self.constant_nll / 2)
        )

    def averaged(self) -> "SplitPerformance":
        """Average over the networks; the result is as of one network."""
        nll = exact.mean(self.nll[None].astype(np.float64), axis=1)
        correct = [exact.mean(values[None].astype(np.float64), axis=1) for values in self.correct_by_class.T]
        return replace(self, nll=nll, correct_by_class=np.array(correct).T)

    def accuracy(self, end: int | None = None) -> np.ndarray:
        """Compute the accuracy, or an end of its 95 % interval.

        Parameters
        ----------
        end : int, optional
            0 for the lower and 1 for the upper end of the interval; None for the accuracy.

        Returns
        -------
        np.ndarray, (R,)
        """
        correct = exact.sum(self.correct_by_class.astype(np.float64), axis=1)
        return np.array([_share(k, np.sum(self.class_counts), end) for k in correct])  # lint: integer sum

    def balanced_accuracy(self, end: int | None = None) -> np.ndarray:
        """Average the recall, or an end of its 95 % interval, over the occurring classes: (R,)."""
        recalls = [
            [_share(k, n, end) for k, n in zip(row, self.class_counts, strict=True)] for row in self.correct_by_class
        ]
        return exact.mean(np.array(recalls), axis=1)


def _share(correct, count, end):
    correct = float(correct)
    count = int(count)
    return correct / count if end is None else wilson_interval(correct, count)[end]


def _replicas(mask):
    return f" ({np.count_nonzero(mask)} of {len(mask)} replicas)" if len(mask) > 1 else ""


def diagnose(measured: Sequence[SplitPerformance], linear: SplitPerformance | None = None) -> str | None:
    """Return why a stack has collapsed, by the rules at the head of this module.

    Parameters
    ----------
    measured : list of S SplitPerformance
        One for each split.
    linear : SplitPerformance, optional
        One linear model on the first split. Without it rule 3 is not applied.

    Returns
    -------
    str or None
        Words that follow the network's name; None if it has not collapsed.
    """
    nll = np.concatenate([own.nll for own in measured])
    constant = np.concatenate([np.full(len(own.nll), own.constant_nll) for own in measured])
    near = np.concatenate([own.near_constant() & (len(own.class_counts) > 1) for own in measured])
    fresh = float(elementary.log(float(measured[0].n_classes)))
    far = nll > MAX_NLL_RATIO * fresh
    if near.any():
        worst = np.flatnonzero(near)[np.argmax((nll - constant)[near])]
        losses = f"{nll[worst]:.4f} nats, always saying the class frequencies {constant[worst]:.4f}"
        return f"is hardly better than a constant on validation: {losses}{_replicas(near)}"
    if far.any():
        losses = f"{float(nll[far].max()):.2f} nats, a fresh network's {fresh:.2f}"
        return f"has lost its way by its validation NLL: {losses}{_replicas(far)}"
    return _below(measured[0].averaged(), linear) if linear is not None else None


def _below(ours, linear):
    """Return why a network is clearly below a linear model (rule 3), or None."""
    if ours.nll[0] <= linear.nll[0] or ours.balanced_accuracy()[0] > linear.balanced_accuracy()[0]:
        return None
    names = {"accuracy": SplitPerformance.accuracy, "balanced accuracy": SplitPerformance.balanced_accuracy}
    pairs = {name: (of(ours)[0], of(linear)[0], of(ours, end=1)[0]) for name, of in names.items()}
    for name, (own, other, high) in pairs.items():
        if high + LINEAR_MARGIN < other:
            reached = f"{100 * own:.1f} % {name}, a linear model {100 * other:.1f} %"
            return f"is clearly below a linear model on validation: {reached}"
    if ours.nll[0] > ours.constant_nll:
        return (
            f"is clearly below a linear model on validation: {ours.nll[0]:.4f} nats, a linear model {linear.nll[0]:.4f}"
        )
    return None


def advice(network: str, collapsed: Collection[str], model: str = "", settings: Mapping | Sequence = ()) -> str:
    """Return what may help against a collapse, except what is set already.

    Baseline and student have the same recipe, so the advice depends on which of them have collapsed.

    Parameters
    ----------
    network : str
        The one that has collapsed.
    collapsed : collection of str
        Names of all networks that have collapsed.
    model : str, optional
        The teacher's name, if it is not a network.
    settings : dict, optional
        {key of params.yaml: present value}; and `digest`: whether the file of an external teacher's answers has the
        digest of the rows.

    Returns
    -------
    str
    """
    settings = dict(settings)
    standard = ["set prepare.scaling: standard"] * (settings.get("prepare.scaling") != "standard")
    if network == "teacher" and model == "foreign":
        if settings.get("digest"):
            return "its answers are to these rows, by their digest: look at the model that gave them"
        return "its answers may be of other rows, or of another order: give them with the digest of the exported rows"
    if network == "teacher" and model:
        return "choose other teacher.options, or another teacher.model"
    if network == "teacher":
        return _listed(["lower teacher.learning_rate", *standard])
    if network == "student" and "baseline" not in collapsed:
        if "teacher" in collapsed:
            return "its teacher has, too"
        warmup = ["set student.warmup: 0.1"] * (not settings.get("student.warmup"))
        return "the baseline has not: T² scales the gradient; " + _listed(
            [*warmup, "lower distill.temperature", "lower student.learning_rate"]
        )
    return _listed(["lower student.learning_rate", *standard, "raise student.epochs"])


def _listed(remedies):
    return ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))


def labeled_rows(dataset: Dataset, heldout: HeldoutLogits) -> list[np.ndarray]:
    """Return the labelled training rows with which each split is judged.

    They are the rows of the classes that occur among the split's validation examples of the transfer classes.

    Parameters
    ----------
    dataset : Dataset
    heldout : HeldoutLogits

    Returns
    -------
    list of S integer arrays
    """
    labels = [own[mask] for own, mask in zip(heldout.labels["validation"], heldout.in_transfer_classes, strict=True)]
    rows = [dataset.labeled(split) for split in range(dataset.splits)]
    return [own[np.isin(dataset.y[own], np.unique(known))] for own, known in zip(rows, labels, strict=True)]


def find_collapsed(
    dataset: Dataset,
    models: dict[str, Model],
    heldout: HeldoutLogits,
    linear_network: Network,
    settings: Mapping | Sequence = (),
) -> dict[str, dict[str, str]]:
    """Find the networks that have collapsed, by the validation examples of the transfer classes.

    Splits count as replicas do. The linear model is one of the first split, and is compared with that split's networks.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    heldout : HeldoutLogits
    linear_network : Network
        Without hidden layers, trained on the first split's `labeled_rows`; see `kdlib.pipeline.linear_control`.
    settings : dict, optional
        As `advice` takes them.

    Returns
    -------
    dict
        {network: {"reason", "advice"}} of those that have collapsed.
    """
    classes = len(dataset.class_names)
    first = heldout.in_transfer_classes[0]
    labels = [own[mask] for own, mask in zip(heldout.labels["validation"], heldout.in_transfer_classes, strict=True)]
    labeled = labeled_rows(dataset, heldout)
    frequencies = [np.bincount(dataset.y[rows], minlength=classes) for rows in labeled]
    logits = linear_network.logits(dataset.scaled(dataset.rows("validation")[first]))
    linear = SplitPerformance.measure(logits, labels[0], frequencies[0])
    reasons = {}
    for name, model in models.items():
        stacks = [
            stack if mask.all() else stack[:, mask]
            for stack, mask in zip(heldout.logits[name]["validation"], heldout.in_transfer_classes, strict=True)
        ]
        measured = [SplitPerformance.measure(*of_split) for of_split in zip(stacks, labels, frequencies, strict=True)]
        could_be_linear = model.network and min(model.network.sizes[1:-1], default=classes) >= classes - 1
        if reason := diagnose(measured, linear if could_be_linear else None):
            reasons[name] = reason
    origin = models["teacher"].origin
    settings = {**models["student"].params, **dict(settings), "digest": origin.get("digest", False)}
    model_name = origin.get("model", "")
    return {
        name: {"reason": reason, "advice": advice(name, reasons, model_name, settings)}
        for name, reason in reasons.items()
    }
