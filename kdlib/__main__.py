"""Tools: `python -m kdlib predict models/deployed/float.npz rows.csv`, `latency models/student.npz`, `new FOLDER`."""

import argparse
import time
from collections.abc import Callable

import numpy as np

from kdlib.backends.arithmetic import FAST
from kdlib.data.dataset import Dataset
from kdlib.deployment.predict import predict
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError, exit_on_error, printable
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network, parameter_count

# Timing of a model with a batch ends at the first of these limits.
ROUNDS = 200
SECONDS = 5.0


def network(path: str, arrays: dict[str, np.ndarray]) -> tuple[str, Callable, int]:
    """Prepare networks for timing: all members of one split for a teacher, else one network.

    Parameters
    ----------
    path : str
        Of the model's file, for messages.
    arrays : dict
        Content of the file.

    Returns
    -------
    description : str
    answer : callable
        The function to be timed.
    features : int

    Raises
    ------
    UserError
        If the arrays are not those of a model.
    """
    try:
        stack = Network.from_arrays(arrays, FAST)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights ({error})") from None
    members = 1
    if "logits" in arrays:
        logits = arrays["logits"]
        if logits.ndim != 3 or not len(logits) or stack.replicas % len(logits):
            raise UserError(f"{path}: {stack.replicas} networks are not of the splits of logits {logits.shape}")
        members = stack.replicas // len(logits)
    own = Network(stack.sizes, members, FAST)
    own.parameters[:] = stack.parameters[:members]
    count = members * parameter_count(own.sizes)
    return f"{members} x {'-'.join(map(str, own.sizes))}, {count:,} parameters", own.logits, own.sizes[0]


def classifier(path: str, dataset: str) -> tuple[str, Callable, int]:
    """Prepare a classifier of scikit-learn for timing: fit it again, because no model is kept as a pickle.

    Parameters
    ----------
    path, dataset : str
        Files of the teacher and of the dataset.

    Returns
    -------
    description, answer, features
        As of `network`.

    Raises
    ------
    UserError
        If the file holds answers of a model that cannot be fitted here, if it names a class that is not scikit-learn's
        own (a file's class is not imported), or if the model has no features but columns.
    """
    from kdlib.teachers.classifiers import refit_first_split
    from kdlib.teachers.imported import is_dotted

    data = Dataset.load(dataset)
    recipe = load_model(path, data).origin
    if "options" not in recipe:
        raise UserError(f"{path}: holds another model's answers, not the model: time it where it runs")
    if is_dotted(recipe["model"]):
        raise UserError(f"{path}: names {recipe['model']}, and no class is imported by a file; time it in Python")
    if "inputs" in recipe:
        raise UserError(f"{path}: {recipe['model']} has the table's columns as they are; time it in Python")
    model = refit_first_split(recipe["model"], recipe["options"], data, recipe["folds"], recipe["seed"])
    return f"{recipe['model']}, {recipe['bytes']:,} bytes", model.predict_proba, data.x.shape[1]


def timed(answer: Callable, rows: int, features: int) -> np.ndarray:
    """Measure how long `answer` takes for a batch of random rows: quartiles in microseconds, (3,)."""
    x = np.random.default_rng(0).random((rows, features), dtype=np.float32)
    times = []
    begun = time.perf_counter()
    while len(times) < ROUNDS and (len(times) < 3 or time.perf_counter() - begun < SECONDS):
        start = time.perf_counter()
        answer(x)
        times.append(1e6 * (time.perf_counter() - start))
    return np.quantile(times[len(times) // 10 :], (0.25, 0.5, 0.75))


def latency(path: str, batch: int, dataset: str) -> None:
    """Print the time of one model in float32, for one example and for a batch: median and quartiles.

    Parameters
    ----------
    path : str
        Of the model's file.
    batch : int
        Number of examples.
    dataset : str
        File of the dataset, on which a classifier of scikit-learn is fitted again.

    Raises
    ------
    UserError
        If the file holds neither weights nor the recipe of a classifier.
    """
    arrays = read_npz(path)
    if "weights_0" not in arrays and "origin" not in arrays:
        raise UserError(f"{path}: holds neither weights nor the recipe of a classifier")
    about, answer, features = network(path, arrays) if "weights_0" in arrays else classifier(path, dataset)
    print(f"{printable(path)}: {about}")
    for rows in (1, batch):
        low, median, high = timed(answer, rows, features)
        each = f", {median / rows:.2f} a row" if rows > 1 else ""
        print(f"  {rows:5d} examples: {median:9.1f} us, quartiles {low:.1f} to {high:.1f}{each}")


def page() -> None:
    """Run the stage page, in a folder with params.yaml and stages/.

    Raises
    ------
    UserError
        If stages/ or a package is missing.
    """
    try:
        from kdlib.pipeline.command_line import run_stage, stage_parser
        from stages import page
    except ImportError as error:
        if error.name == "stages":
            raise UserError(
                "page: no stages/ here; run it in a folder of `python -m kdlib new`, or in a clone"
            ) from None
        raise UserError(f"page: needs {error.name}: pip install 'kdlib[pipeline]'") from None
    run_stage(page.main, stage_parser(page.__doc__).parse_args([]))


def new(folder: str) -> None:
    """Write a DVC project, and print what to do next.

    Raises
    ------
    UserError
        If a package is missing, or as `kdlib.pipeline.new_project.write_project`.
    """
    try:
        from kdlib.pipeline.new_project import write_project
    except ImportError as error:
        raise UserError(f"new: needs {error.name}: pip install 'kdlib[pipeline]'") from None
    write_project(folder)
    print(f"{printable(folder)}: a DVC project, see its README.md; there: git init && dvc init && dvc repro")


def main() -> None:
    """Read the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m kdlib", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    command = commands.add_parser("predict", help="class and probabilities of each row of a file, as CSV")
    command.add_argument("model", metavar="MODEL", help="models/deployed/float.npz or models/deployed/int.npz")
    command.add_argument("rows", metavar="ROWS", help="a .csv with a header, a .parquet, or an .npz with x")
    command.add_argument("--output", metavar="FILE", default="predictions.csv", help="(default: %(default)s)")
    help_ = "a DVC project of your own: dvc.yaml, params.yaml, stages/, README.md and what else it needs"
    command = commands.add_parser("new", help=help_, description=f"Write {help_}.")
    command.add_argument("folder", metavar="FOLDER", help="a new folder, or an empty one")
    commands.add_parser("page", help="metrics/page.html of what the stages wrote, as `python -m stages.page` does")
    command = commands.add_parser("latency", help="time one model of each file on this machine; nothing is written")
    command.add_argument("models", nargs="+", metavar="FILE", help="models/student.npz, models/teacher.npz, ...")
    command.add_argument(
        "--batch",
        type=int,
        choices=range(1, 2**20),
        metavar="N",
        default=1024,
        help="examples in the batch (default: %(default)s)",
    )
    help_ = "to fit a classifier of scikit-learn again (default: %(default)s)"
    command.add_argument("--dataset", metavar="FILE", default="data/dataset.npz", help=help_)
    arguments = parser.parse_args()
    with exit_on_error():
        if arguments.command == "predict":
            count, lines = predict(arguments.model, arguments.rows, arguments.output)
            print(f"{printable(arguments.output)}: {count:,} rows", *map(printable, lines), sep="\n")
        elif arguments.command == "page":
            page()
        elif arguments.command == "new":
            new(arguments.folder)
        else:
            for path in arguments.models:
                latency(path, arguments.batch, arguments.dataset)


if __name__ == "__main__":
    main()
