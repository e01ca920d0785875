"""What the networks say of the examples that each split holds out, with the labels."""

from dataclasses import dataclass

import numpy as np

from kdlib.data.scaled import blocks
from kdlib.io.chunks import all_finite, scratch
from kdlib.io.errors import UserError
from kdlib.learning.stack import parts

NETWORKS = ("teacher", "baseline", "student")
EVALUATED = ("validation", "test")


@dataclass(frozen=True)
class Answers:
    """logits: {network: {part: [(R, n, classes), of each split]}}; the teacher's R is 1. labels: {part: [(n,), ...]}.
    Besides NETWORKS there is `quantized` where the student was.

    shown: of each split, the validation examples of the transfer set's classes, (n,) bool. new: of each split, the test
    examples that no split before it tests on, (n,) bool.
    """

    logits: dict
    labels: dict
    shown: list
    new: list

    @property
    def splits(self):
        return len(self.shown)

    def measured(self, network, part, measure):
        """[(R,), of each split], by a function of logits and labels."""
        return [measure(*pair) for pair in zip(self.logits[network][part], self.labels[part], strict=True)]

    @property
    def test_examples(self):
        """How many different ones the splits test on together."""
        return int(np.count_nonzero(np.concatenate(self.new)))

    def pooled(self, network):
        """(logits (1, N, classes), labels (N,)) of each test example once, by its first split's first network."""
        stacks = zip(self.logits[network]["test"], self.labels["test"], self.new, strict=True)
        logits, labels = zip(*((stack[:1, new], own[new]) for stack, own, new in stacks), strict=True)
        return np.concatenate(logits, axis=1), np.concatenate(labels)


def _filled(rows, answer):
    """(R, n, classes): `answer` of some of the rows, (m,) -> (R, m, classes), block by block, as a `scratch` array."""
    found = None
    for block in blocks(len(rows)):
        said = answer(rows[block])
        if found is None:
            found = scratch((len(said), len(rows), said.shape[-1]), said.dtype)
        found[:, block] = said
    return found


def _asking(dataset, split, answer):
    """Function of rows to the `answer` of their inputs."""
    return lambda rows: answer(dataset.inputs(rows, split))


def answers(dataset, models, transfer_classes=None, quantized=()):
    """`Answers` of {network: Model}; the teacher's are the logits of its artifact.

    quantized: the student's networks as integers, one after another, each with a function `logits` of its inputs.
    """
    rows = {part: [dataset.rows(part, split) for split in range(dataset.splits)] for part in EVALUATED}
    named = (*NETWORKS, "quantized") if quantized else NETWORKS
    logits = {name: {part: [] for part in EVALUATED} for name in named}
    for part, of_splits in rows.items():
        for split, own in enumerate(of_splits):
            taught = models["teacher"].logits[split]
            logits["teacher"][part].append(_filled(own, lambda of, taught=taught: taught[of][None]))
            for name in NETWORKS[1:]:
                network = models[name].network
                stack = network.part(parts(dataset.splits, network.replicas)[split])
                with np.errstate(all="ignore"):
                    said = _filled(own, _asking(dataset, split, stack.logits))
                if not all_finite(said):
                    raise UserError(f"the {name}'s logits on the {part} split are not finite: train it again")
                logits[name][part].append(said)
            if quantized:
                stack = quantized[parts(dataset.splits, len(quantized))[split]]
                asking = _asking(dataset, split, lambda x, stack=stack: np.stack([one.logits(x) for one in stack]))
                logits["quantized"][part].append(_filled(own, asking))
    labels = {part: [dataset.y[own] for own in of_splits] for part, of_splits in rows.items()}
    taught = np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    shown = [taught[own] for own in labels["validation"]]
    first = np.unique(np.concatenate(rows["test"]), return_index=True)[1]
    ends = np.cumsum([len(own) for own in rows["test"]])[:-1]  # integers
    new = np.split(np.isin(np.arange(len(np.concatenate(rows["test"]))), first), ends)
    return Answers(logits, labels, shown, new)
