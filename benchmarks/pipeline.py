"""All stages in a folder of their own, by the committed params.yaml with changes."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.workloads import MNIST, ROOT
from kdlib.data.dataset import Dataset
from kdlib.pipeline.params import load_params
from stages import __main__ as stages

OWN, TABLE = "data/raw/own.npz", "data/raw/own.csv"


@contextlib.contextmanager
def experiment(changes, data=None):
    """Run the stages with `changes`, such as "student.epochs=20", and give their result; files are in the new folder.

    data: in place of a dataset that has a name (x, y), or the text of a CSV whose column `class` has the classes.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            if isinstance(data, str):
                Path(TABLE).parent.mkdir(parents=True)
                Path(TABLE).write_text(data, encoding="utf-8")
                changes = [*changes, f"prepare.dataset={TABLE}", "prepare.target=class"]
            elif data is not None:
                Path(OWN).parent.mkdir(parents=True)
                np.savez(OWN, x=data[0], y=data[1])
                changes = [*changes, f"prepare.dataset={OWN}"]
            with contextlib.redirect_stdout(io.StringIO()):
                yield stages.main(load_params(ROOT / "params.yaml", changes))
        finally:
            os.chdir(before)


def dataset():
    """`Dataset` of the experiment whose folder this is."""
    return Dataset.load("data/dataset.npz")


def mnist1d():
    """(x, y) of MNIST-1D, made by its package (Greydanus and Kobak 2024), or None where that is not installed."""
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError:
        return None
    made = make_dataset(get_dataset_args())
    return np.concatenate([made["x"], made["x_test"]]), np.concatenate([made["y"], made["y_test"]])


def wide_table(rows=50_000, features=30):
    """(x, y) of a table of five classes."""
    from sklearn.datasets import make_classification

    return make_classification(
        rows, features, n_informative=15, n_redundant=5, n_classes=5, n_clusters_per_class=4, random_state=0
    )


def mnist(examples):
    """(x, y) of the first images of MNIST, uint8, or None where its file is not."""
    path = next((path for path in MNIST if path.is_file()), None)
    if path is None:
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["x_train"][:examples], arrays["y_train"][:examples]
