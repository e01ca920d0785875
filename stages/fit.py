"""Training as the three training stages do it: with progress on the terminal and in the log."""

import logging

from tqdm import tqdm

from kdlib.arithmetic import ARITHMETICS
from kdlib.training import train


def with_as_many_steps(recipe, examples, labeled):
    """The `recipe` for the `labeled` of the `examples` (counts), in epochs as many times longer as they are fewer.

    So a network that hears the labels alone takes as many steps as one that also hears the teacher on all examples.
    """
    steps, of_labeled = (-(-n // recipe.batch_size) for n in (examples, labeled))
    longer = {"epochs": max(1, round(recipe.epochs * steps / of_labeled))}
    if recipe.patience:
        longer["patience"] = max(1, round(recipe.patience * steps / of_labeled))
    return recipe.model_copy(update=longer)


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
