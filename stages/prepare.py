"""Stage prepare: load the dataset, split it, fit the scaling on the training split -> data/dataset.npz"""

import logging

from kdlib.data.dataset import PARTS
from kdlib.preparation import sources
from kdlib.preparation.assembly import prepare
from stages import PATHS, parser, run

log = logging.getLogger("prepare")


def main(params, paths=PATHS):
    examples = sources.load(params.prepare.dataset, params.prepare.target)
    options = params.prepare.model_dump(exclude={"dataset", "target", "transfer_classes"})
    dataset = prepare(examples, params.seed, **options)
    transfer = dataset.transfer_set(params.prepare.transfer_classes)
    dataset.save(paths.dataset)
    sizes = ", ".join(f"{len(dataset.rows(part))} {part}" for part in PARTS)
    sizes += f", {dataset.splits} splits" if dataset.splits > 1 else ""
    of_them = f" ({len(transfer)} in the transfer set)" if params.prepare.transfer_classes else ""
    log.info("%s: %s%s; digest %s", params.prepare.dataset, sizes, of_them, dataset.digest[:12])


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset").parse_args())
