"""Stage prepare: load the dataset, split it, fit the scaling on the training split -> data/dataset.npz"""

import logging

from kdlib import datasets, sources
from stages import DATASET, parser, run

log = logging.getLogger("prepare")


def main(params):
    examples = sources.load(params.prepare.dataset, params.prepare.target)
    options = params.prepare.model_dump(exclude={"dataset", "target"})
    dataset = datasets.prepare(examples, params.seed, **options)
    dataset.save(DATASET)
    sizes = ", ".join(f"{len(labels)} {split}" for split, labels in dataset.y.items())
    log.info("%s: %s; digest %s", params.prepare.dataset, sizes, dataset.digest[:12])


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
