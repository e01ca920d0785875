"""What the stages share: paths of their files, options, locks of outputs, the log, and how a run ends."""

import argparse
import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdlib.backends.context import Context
from kdlib.io.atomic import check_distinct, file_lock
from kdlib.io.errors import UserError, exit_on_error, printable
from kdlib.pipeline.new_project import check_code_file
from kdlib.pipeline.params import load_params
from kdlib.pipeline.schema import Params

DEPLOYED_FILES = ("float.npz", "int.npz", "stack.npz", "student.onnx", "student_int.onnx", "student.h")
MPI_RANK_VARIABLES = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"}  # mpiexec sets one of them to the rank
OPTIONAL_PATHS = ("deployed",)  # `evaluate --deployed=` without a path leaves out the column of the integers


@dataclass(frozen=True)
class Paths:
    """Paths of the files that the stages exchange, relative to the working directory.

    `deployed` is a folder with DEPLOYED_FILES, `metrics` one with all that is measured.
    """

    dataset: str = "data/dataset.npz"
    answers: str = "data/answers.sha256"
    teacher: str = "models/teacher.npz"
    baseline: str = "models/baseline.npz"
    student: str = "models/student.npz"
    deployed: str = "models/deployed"
    predictions: str = "data/predictions.npz"
    metrics: str = "metrics"
    page: str = "metrics/page.html"

    def check(self, config: str) -> None:
        """Refuse paths that cannot be meant.

        Parameters
        ----------
        config : str
            Path of the parameters' file.

        Raises
        ------
        UserError
            If a path has another file extension than its default, or if two paths name the same file.
        """
        given = {name: path for name, path in vars(self).items() if path or name not in OPTIONAL_PATHS}
        for name, path in given.items():
            ending = Path(getattr(PATHS, name)).suffix
            if not path.endswith(ending):
                raise UserError(f"--{name}: got {path!r}; needs a path that ends with {ending}")
        inside = {f"{name} of --deployed": f"{self.deployed}/{name}" for name in DEPLOYED_FILES}
        check_distinct(inside | {f"--{name}": path for name, path in {"config": config, **given}.items()})


PATHS = Paths()


def stage_parser(description: str, *names: str) -> argparse.ArgumentParser:
    """Create a parser with the options that every stage has, and one option for each path in `names`.

    Parameters
    ----------
    description : str
        Help text: the module docstring of the stage.
    *names : str
        Fields of `Paths`.
    """
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--config", metavar="FILE", default="params.yaml", help="the parameters (default: %(default)s)")
    result.add_argument("--set", metavar="KEY=VALUE", default=[], action="append", help="in place of the file's")
    for name in names:
        result.add_argument(f"--{name}", metavar="PATH", default=getattr(PATHS, name), help="(default: %(default)s)")
    return result


def locks_outputs(*names: str) -> Callable:
    """Decorate `main(params, paths, context)`: while it runs, lock its outputs, so that no other process writes them.

    Among several ranks only the first one locks, because only the first one writes.

    Parameters
    ----------
    *names : str
        Fields of `Paths`.

    Raises
    ------
    UserError
        By the decorated function: if the path of an output is empty, or if another process writes an output.
    """

    def decorate(main):
        @functools.wraps(main)
        def locked(params, paths=PATHS, context=Context()):
            with contextlib.ExitStack() as stack:
                for name in names if context.ranks.first else ():
                    path = getattr(paths, name)
                    if not path:
                        raise UserError(f"--{name}: got ''; needs a path, because this stage writes it")
                    stack.enter_context(file_lock(f"{path}/metrics.json" if name == "metrics" else path))
                return main(params, paths, context)

        return locked

    return decorate


class _Printable(logging.Formatter):
    """Format a record as one line without control characters, which a terminal would obey."""

    def format(self, record):
        return printable(super().format(record))


def start_logging(params: Params, context: Context = Context()) -> None:
    """Log to stderr and to `logging.file`; of several ranks only the first one logs.

    Raises
    ------
    UserError
        If `logging.file` exists and is not a regular file.
    """
    if not context.ranks.first:
        logging.disable()
        return
    logging.raiseExceptions = False  # a full disk ends in one line of whatever must write, not in the log's traceback
    handlers = [logging.StreamHandler()]
    if file := params.logging.file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if Path(file).exists() and not Path(file).is_file():
            raise UserError(f"logging.file: {file} is not a regular file")
        handlers.append(logging.FileHandler(file, encoding="utf-8", errors="backslashreplace"))
    form = _Printable("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    for handler in handlers:
        handler.setFormatter(form)
    logging.basicConfig(level=params.logging.level, handlers=handlers, force=True)


def run_stage(
    main: Callable, arguments: argparse.Namespace, supports_ranks: Callable[[Params], bool] | None = None
) -> object:
    """Read the parameters, call `main(params, paths, context)` and return its result.

    A mistake of the user's or an error of the system ends in one line and exit code 1.

    Parameters
    ----------
    main : callable
        The function `main` of a stage.
    arguments : argparse.Namespace
        From `stage_parser`.
    supports_ranks : callable, optional
        Takes the parameters; returns whether `main` trains a network. Only such a run can use several MPI ranks.
    """
    with exit_on_error():
        # Before OpenMP is loaded: let its threads sleep while they wait. Busy waiting beside other load takes cores
        # from the threads that work: fits of 0.3 and 0.9 s took 13 and 80 s.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
        check_code_file()
        params = load_params(arguments.config, arguments.set)
        given = {name: value for name, value in vars(arguments).items() if name in vars(PATHS)}
        paths = Paths(**given)
        paths.check(arguments.config)
        count = params.execution.ranks or 1
        started = MPI_RANK_VARIABLES & os.environ.keys()
        without_ranks = Context(params.execution.kernels, params.execution.threads)
        entered = contextlib.nullcontext(without_ranks)
        if supports_ranks and supports_ranks(params) and (started or count > 1):
            from kdlib.pipeline import mpi_launcher  # here: a run without ranks does not need it

            if not started:
                return mpi_launcher.start_ranks(count)
            entered = mpi_launcher.as_rank(params.execution, int(os.environ[min(started)]))
        with entered as context:
            start_logging(params, context)
            return main(params, paths, context)
