"""Training as the three training stages do it: with progress, resumable, and saved at the end."""

import logging

from tqdm import tqdm

from kdlib.arithmetic import ARITHMETICS
from kdlib.checkpoints import Checkpoint
from kdlib.datasets import SPLITS
from kdlib.errors import UserError
from kdlib.models import ensemble_logits, save_model
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


def fit(section, params, dataset, x, objective, recipe, replicas, path, teaches=False):
    """Train by the `recipe`, write the model to `path`, with its logits on all splits if it `teaches`; the network.

    section: of params.yaml, `teacher` or `student`; it names the random streams too. replicas: how many.
    """
    if recipe.augment and not dataset.image_shape:
        raise UserError(
            f"{section}.augment: got shift: {recipe.augment.shift}, but the dataset has no images; set null"
        )
    checkpoint = Checkpoint(path, params.checkpoint) if params.checkpoint else None
    log = logging.getLogger(path)
    # disable=None: no bar where stderr is no terminal
    with tqdm(total=recipe.epochs, desc=path, unit="epoch", disable=None, dynamic_ncols=True) as bar:

        def progress(epoch, loss, accuracy):
            if bar.n == 0:
                bar.n = bar.initial = epoch  # where a checkpoint let it go on
            bar.set_postfix_str(f"loss {loss:.4f}, validation accuracy {accuracy:.4f}")
            bar.update()
            log.debug("epoch %d: loss %.4f, validation accuracy %.4f", epoch + 1, loss, accuracy)

        network, curve = train(
            x,
            objective,
            (dataset.inputs("validation"), dataset.one_hot("validation")),
            arithmetic=ARITHMETICS[params.arithmetic],
            seed=params.seed,
            purpose=section,
            replicas=range(replicas),
            image_shape=dataset.image_shape,
            progress=progress,
            checkpoint=checkpoint,
            **recipe.recipe(),
        )
    log.info("%d x %s, %d epochs", replicas, "-".join(map(str, network.sizes)), recipe.epochs)
    splits = SPLITS if teaches else ()
    logits = {split: ensemble_logits(network.logits(dataset.inputs(split))) for split in splits}
    save_model(path, network, curve, dataset, logits)
    if checkpoint:
        checkpoint.remove()
    return network
