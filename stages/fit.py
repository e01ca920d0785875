"""Training as the three training stages do it: with progress on the terminal and in the log."""

import logging

from tqdm import tqdm

from kdlib.arithmetic import ARITHMETICS
from kdlib.training import train


def fit(stage, params, dataset, x, objective, recipe, purpose, replicas):
    """(network, curve) of `kdlib.training.train`. recipe: the section of params.yaml. replicas: how many."""
    log = logging.getLogger(stage)
    # disable=None: no bar where stderr is no terminal
    with tqdm(total=recipe.epochs, desc=stage, unit="epoch", disable=None, dynamic_ncols=True) as bar:

        def progress(epoch, loss, accuracy):
            bar.set_postfix_str(f"loss {loss:.4f}, validation accuracy {accuracy:.4f}")
            bar.update()
            log.debug("epoch %d: loss %.4f, validation accuracy %.4f", epoch + 1, loss, accuracy)

        network, curve = train(
            x,
            objective,
            (dataset.inputs("validation"), dataset.one_hot("validation")),
            arithmetic=ARITHMETICS[params.arithmetic],
            seed=params.seed,
            purpose=purpose,
            replicas=range(replicas),
            progress=progress,
            **recipe.recipe(),
        )
    log.info("%d x %s, %d epochs", replicas, "-".join(map(str, network.sizes)), recipe.epochs)
    return network, curve
