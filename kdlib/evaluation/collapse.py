"""Whether a training has collapsed: a win over a wreck is none.

A network has collapsed if on the validation split
1. it says hardly more than a constant. The constant says the class frequencies of the labelled training rows. The
   network's NLL has to be below the constant's by a hundredth of it, and by LIKELIHOOD nats over all examples: as it
   is, or with less confidence, where a part (PARTS) of its logits, less their means, is added to those of the constant.
   So a good model of a rare event, which may never name that class, has not collapsed; nor has one that is too sure of
   itself, or was trained with class weights; or
2. its NLL is more than twice that of a fresh network, log(classes); or
3. it is clearly below a linear model of the same inputs and labels: its NLL is above the linear model's, its balanced
   accuracy is not, and its accuracy or its balanced accuracy is more than 2 points below by the upper end of its 95 %
   interval, or its NLL is above the constant's. Asked only of a network that could hold a linear model: a hidden layer
   narrower than classes - 1 could not.
Of a stack, one replica of which 1 or 2 holds is enough; 3 is asked of the mean.
"""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.evaluation import metrics
from kdlib.evaluation.intervals import wilson_interval
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics import elementary, exact
from kdlib.numerics.streams import Streams

BELOW, LIKELIHOOD = 0.01, 2.0  # 2 nats: the 95 % point of a likelihood ratio with one parameter, about 3.84 / 2
PARTS = (1.0, 1 / 4, 1 / 16, 1 / 64)
TWICE, POINTS = 2.0, 0.02
LINEAR = Recipe(learning_rate=0.03, batch_size=32, optimizer="adam")
LINEAR_ROWS, LINEAR_STEPS = 4096, 1280  # a fraction of a second; at most so many examples, about so many steps


@dataclass(frozen=True)
class Measured:
    """What R networks reach on the n validation examples of one split.

    nll: (R,) nats. best: (R,), the least one with less confidence, by rule 1. correct: (R, K), how many examples of
    each of the K classes that there are. counts: (K,), how many examples each of these has. constant: NLL of the class
    frequencies. classes: of the dataset.
    """

    nll: np.ndarray
    best: np.ndarray
    correct: np.ndarray
    counts: np.ndarray
    constant: float
    classes: int

    @classmethod
    def of(cls, logits, labels, frequencies):
        """Of logits (R, n, C) and labels (n,). frequencies: (C,), how many labelled training rows each class has."""
        counts = np.bincount(labels, minlength=len(frequencies))
        there = np.flatnonzero(counts)
        correct = np.diagonal(metrics.confusion(logits, labels), axis1=1, axis2=2)[:, there]
        says = elementary.log(np.maximum(frequencies, 0.5) / np.sum(frequencies))  # integers
        constant = -exact.sum((says * counts)[None], axis=1)[0] / len(labels)
        nll = metrics.negative_log_likelihood(logits, labels)
        own = cls(nll, nll, correct, counts[there], float(constant), len(frequencies))
        if not own.near().any():
            return own
        means = np.stack([exact.mean(stack.astype(np.float64).T, axis=1) for stack in logits])[:, None]
        parts = [
            metrics.negative_log_likelihood(logits, labels, lambda block, part=part: says + part * (block - means))
            for part in PARTS
        ]
        return replace(own, best=np.minimum.reduce([nll, *parts]))

    def near(self):
        """(R,) whether it says hardly more than a constant."""
        likely = LIKELIHOOD / np.sum(self.counts)  # integers
        # Half of the constant's: of two or three examples none could do more.
        return self.constant - self.best < max(BELOW * self.constant, min(likely, self.constant / 2))

    def averaged(self):
        """The mean of the networks, as of one."""
        nll, *correct = (exact.mean(values[None].astype(np.float64), axis=1) for values in (self.nll, *self.correct.T))
        return replace(self, nll=nll, correct=np.array(correct).T)

    def accuracy(self, end=None):
        """(R,). end: None, or 1 for the upper end of its 95 % interval."""
        correct = exact.sum(self.correct.astype(np.float64), axis=1)
        return np.array([_share(k, np.sum(self.counts), end) for k in correct])  # integers

    def balanced_accuracy(self, end=None):
        """(R,) mean over the classes of the recall, or of an end of its 95 % interval."""
        recalls = [[_share(k, n, end) for k, n in zip(row, self.counts, strict=True)] for row in self.correct]
        return exact.mean(np.array(recalls), axis=1)


def _share(correct, count, end):
    correct, count = float(correct), int(count)
    return correct / count if end is None else wilson_interval(correct, count)[end]


def _of(mask):
    return f" ({np.count_nonzero(mask)} of {len(mask)} replicas)" if len(mask) > 1 else ""


def diagnose(measured, linear=None):
    """Return why a stack has collapsed, by the rule at the head of this module.

    Parameters
    ----------
    measured : list of Measured
        Of each split.
    linear : Measured, optional
        Of one linear model on the first split.

    Returns
    -------
    str or None
        Words that follow the network's name.
    """
    nll = np.concatenate([own.nll for own in measured])
    constant = np.concatenate([np.full(len(own.nll), own.constant) for own in measured])
    near = np.concatenate([own.near() & (len(own.counts) > 1) for own in measured])
    fresh = float(elementary.log(float(measured[0].classes)))
    far = nll > TWICE * fresh
    if near.any():
        worst = np.flatnonzero(near)[np.argmax((nll - constant)[near])]
        losses = f"{nll[worst]:.4f} nats, always saying the class frequencies {constant[worst]:.4f}"
        return f"is hardly better than a constant on validation: {losses}{_of(near)}"
    if far.any():
        losses = f"{float(nll[far].max()):.2f} nats, a fresh network's {fresh:.2f}"
        return f"has lost its way by its validation NLL: {losses}{_of(far)}"
    return _below(measured[0].averaged(), linear) if linear is not None else None


def _below(ours, linear):
    """Why it is clearly below a linear model, or None."""
    if ours.nll[0] <= linear.nll[0] or ours.balanced_accuracy()[0] > linear.balanced_accuracy()[0]:
        return None
    names = {"accuracy": Measured.accuracy, "balanced accuracy": Measured.balanced_accuracy}
    pairs = {name: (of(ours)[0], of(linear)[0], of(ours, end=1)[0]) for name, of in names.items()}
    for name, (own, other, high) in pairs.items():
        if high + POINTS < other:
            reached = f"{100 * own:.1f} % {name}, a linear model {100 * other:.1f} %"
            return f"is clearly below a linear model on validation: {reached}"
    if ours.nll[0] > ours.constant:
        return (
            f"is clearly below a linear model on validation: {ours.nll[0]:.4f} nats, a linear model {linear.nll[0]:.4f}"
        )
    return None


def advice(network, collapsed, model="", settings=()):
    """Return what may help, and nothing that is set already. Control and student have the same recipe.

    Parameters
    ----------
    network : str
        The one that has collapsed.
    collapsed : collection of str
        The names of all networks that have.
    model : str, optional
        The teacher's name, where it is no network.
    settings : dict, optional
        {key of params.yaml: value} of what is set; and `digest`, whether the answers of a foreign teacher had that of
        the rows.

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
    patience = ["set student.patience"] * (not settings.get("student.patience"))
    return _listed(["lower student.learning_rate", *standard, *patience, "raise student.epochs"])


def _listed(remedies):
    return ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))


def linear_model(x, one_hot):
    """Return softmax regression of x (n, features) and one_hot (n, classes), whose zero rows are left out.

    On at most LINEAR_ROWS examples; the same bits everywhere, whatever trained the networks.
    """
    rows = np.flatnonzero(one_hot.any(axis=1))
    rows = rows[:: -(-len(rows) // LINEAR_ROWS)]
    recipe = replace(LINEAR, epochs=LINEAR_STEPS // LINEAR.steps(len(rows)))
    some = x[rows[:1]], one_hot[rows[:1]]  # the curve is not read
    return train(x[rows], CrossEntropy(one_hot[rows], Exact), some, recipe, Streams(0, "linear"))[0]


def examine(dataset, models, answers, settings=()):
    """Return which networks have collapsed, by the validation examples of the transfer classes.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    answers : Answers
    settings : dict, optional
        As `advice` takes them.

    Returns
    -------
    dict
        {network: {"reason", "advice"}}. Splits count as replicas do; the linear model is fitted in the first one, and
        compared with that one's networks.
    """
    classes, first = len(dataset.class_names), answers.shown[0]
    labels = [own[shown] for own, shown in zip(answers.labels["validation"], answers.shown, strict=True)]
    taught = [dataset.labeled(split) for split in range(dataset.splits)]
    taught = [rows[np.isin(dataset.y[rows], np.unique(own))] for rows, own in zip(taught, labels, strict=True)]
    frequencies = [np.bincount(dataset.y[rows], minlength=classes) for rows in taught]
    some = taught[0][:: -(-len(taught[0]) // LINEAR_ROWS)]
    network = linear_model(dataset.scaled(some), dataset.one_hot(some))
    logits = network.logits(dataset.scaled(dataset.rows("validation")[first]))
    linear = Measured.of(logits, labels[0], frequencies[0])
    reasons = {}
    for name, model in models.items():
        seen = [
            stack if shown.all() else stack[:, shown]
            for stack, shown in zip(answers.logits[name]["validation"], answers.shown, strict=True)
        ]
        measured = [Measured.of(*of) for of in zip(seen, labels, frequencies, strict=True)]
        could_hold = model.network and min(model.network.sizes[1:-1], default=classes) >= classes - 1
        if reason := diagnose(measured, linear if could_hold else None):
            reasons[name] = reason
    origin = models["teacher"].origin
    settings = {**models["student"].recipe, **dict(settings), "digest": origin.get("digest", False)}
    named = origin.get("model", "")
    return {name: {"reason": why, "advice": advice(name, reasons, named, settings)} for name, why in reasons.items()}
