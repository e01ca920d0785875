"""Stage prepare: load the dataset, split it, fit the scaling on the training split -> data/dataset.npz"""

import logging

from kdlib import datasets
from stages import DATASET, parser, run

log = logging.getLogger("prepare")


def main(params):
    examples = datasets.load_bundled(params.prepare.dataset)
    options = params.prepare.model_dump(exclude={"dataset"})
    dataset = datasets.prepare(examples, params.seed, **options)
    dataset.save(DATASET)
    sizes = ", ".join(f"{len(labels)} {split}" for split, labels in dataset.y.items())
    log.info("%s: %s; digest %s", params.prepare.dataset, sizes, dataset.digest[:12])


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
