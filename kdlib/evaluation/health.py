"""Whether a training has collapsed: a win over a wreck is none.

A network has collapsed if on the validation split
1. it has come less than a tenth of the way from the rate of the largest class to 1, or
2. its NLL is more than twice that of a fresh network, log(classes), or
3. it is clearly below a linear model of the same inputs and labels: by more than 2 points beyond the upper end of its
   accuracy's 95 % interval. Asked only of a network that could hold a linear model: a hidden layer narrower than
   classes - 1 could not.
Of a stack, one replica of which 1 or 2 holds is enough; 3 is asked of the mean.
"""

from dataclasses import replace

import numpy as np

from kdlib.evaluation import metrics
from kdlib.evaluation.intervals import wilson_interval
from kdlib.learning.lazy import of_rows
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.learning.validation import validate
from kdlib.numerics import elementary, exact
from kdlib.numerics.arithmetic import Exact
from kdlib.numerics.streams import Streams

WAY, FRESH, POINTS = 0.1, 2.0, 0.02
LINEAR = Recipe(learning_rate=0.03, batch_size=32, optimizer="adam")
LINEAR_ROWS, LINEAR_STEPS = 4096, 1280  # a fraction of a second; at most so many examples, about so many steps


def _of(mask):
    return f" ({np.count_nonzero(mask)} of {len(mask)} replicas)" if len(mask) > 1 else ""


def diagnose(accuracy, nll, examples, majority, classes, linear=None):
    """Why a stack has collapsed, in words that follow its name, or None. By the rule at the head of this module.

    accuracy, nll: (R,) on the validation split, nats. examples: how many it has. majority: its largest class's share.
    linear: None, or a linear model's accuracy on it.
    """
    accuracy, nll = np.asarray(accuracy, dtype=np.float64), np.asarray(nll, dtype=np.float64)
    fresh = float(elementary.log(float(classes)))
    near = accuracy - majority < WAY * (1 - majority)
    far = nll > FRESH * fresh
    if near.any():
        share = f"{100 * float(accuracy[near].min()):.1f} %, always saying the largest class {100 * majority:.1f} %"
        return f"is hardly better than a constant on validation: {share}{_of(near)}"
    if far.any():
        losses = f"{float(nll[far].max()):.2f} nats, a fresh network's {fresh:.2f}"
        return f"has lost its way by its validation NLL: {losses}{_of(far)}"
    mean = float(exact.mean(accuracy[None], axis=1)[0])
    if linear is not None and wilson_interval(mean * examples, examples)[1] + POINTS < linear:
        return f"is clearly below a linear model on validation: {100 * mean:.1f} %, a linear model {100 * linear:.1f} %"
    return None


def advice(network, collapsed, model=""):
    """What fits, given the names of all networks that have `collapsed`. Control and student have the same recipe.

    model: the teacher's name, where it is no network.
    """
    if network == "teacher" and model == "foreign":
        return "its answers may be of other rows, or of another order: give them with the digest of the exported rows"
    if network == "teacher" and model:
        return "choose other teacher.options, or another teacher.model"
    if network == "teacher":
        return "lower teacher.learning_rate, or set prepare.scaling: standard"
    if network == "student" and "baseline" not in collapsed:
        if "teacher" in collapsed:
            return "its teacher has, too"
        return (
            "the baseline has not: T² scales the gradient; set student.warmup: 0.1, or lower distill.temperature or"
            " student.learning_rate"
        )
    return "lower student.learning_rate, set prepare.scaling: standard or student.patience, or raise student.epochs"


def linear_accuracy(x, one_hot, validation):
    """Validation accuracy of softmax regression. x: (n, features); one_hot: (n, classes), zero rows left out.

    validation: (x, one_hot). On at most 4096 examples; the same bits everywhere, whatever trained the networks.
    """
    rows = np.flatnonzero(one_hot.any(axis=1))
    rows = rows[:: -(-len(rows) // LINEAR_ROWS)]
    recipe = replace(LINEAR, epochs=LINEAR_STEPS // LINEAR.steps(len(rows)))
    some = tuple(of[:1] for of in validation)  # the curve is not read
    network, _ = train(x[rows], CrossEntropy(one_hot[rows], Exact), some, recipe, Streams(0, "linear"))
    return float(validate(network, [validation])[1][0])


def examine(dataset, models, answers):
    """{network: {"reason", "advice"}} of those that have collapsed, on the validation examples of the transfer classes.

    models: {network: Model}. answers: `kdlib.evaluation.answers.Answers`. Splits count as replicas do; the linear model
    is fitted in the first one, and compared with that one's networks.
    """
    classes, first = len(dataset.class_names), answers.shown[0]
    labels = [own[shown] for own, shown in zip(answers.labels["validation"], answers.shown, strict=True)]
    majority = max(int(np.bincount(own).max()) / len(own) for own in labels)
    taught = dataset.labeled()
    taught = taught[np.isin(dataset.y[taught], np.unique(labels[0]))]
    taught = taught[:: -(-len(taught) // LINEAR_ROWS)]
    rows = dataset.rows("validation")[first]
    validation = dataset.scaled(rows), of_rows(dataset, rows, 0)
    linear = linear_accuracy(dataset.scaled(taught), dataset.one_hot(taught), validation)
    reasons = {}
    for name, model in models.items():
        seen = [
            stack if shown.all() else stack[:, shown]
            for stack, shown in zip(answers.logits[name]["validation"], answers.shown, strict=True)
        ]
        pairs = list(zip(seen, labels, strict=True))
        accuracy, nll = ([m(*pair) for pair in pairs] for m in (metrics.accuracy, metrics.negative_log_likelihood))
        could_hold = model.network and min(model.network.sizes[1:-1], default=classes) >= classes - 1
        of_first = diagnose(accuracy[0], nll[0], len(labels[0]), majority, classes, linear if could_hold else None)
        rest = np.concatenate(accuracy), np.concatenate(nll)
        reason = diagnose(*rest, len(labels[0]), majority, classes) or of_first
        if reason:
            reasons[name] = reason
    model = models["teacher"].origin.get("model", "")
    return {name: {"reason": reason, "advice": advice(name, reasons, model)} for name, reason in reasons.items()}
