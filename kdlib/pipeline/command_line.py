"""What the stages share: the paths of their files, options, locks of outputs, the log, and how a run ends."""

import argparse
import contextlib
import functools
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from kdlib.backends import ranks, selection, threads
from kdlib.io.atomic import apart, exclusive
from kdlib.io.errors import UserError, ending_in_a_line, printable
from kdlib.pipeline import interrupts
from kdlib.pipeline.params import load_params

DATASET = "data/dataset.npz"
ANSWERS = "data/answers.sha256"
TEACHER = "models/teacher.npz"
BASELINE = "models/baseline.npz"
STUDENT = "models/student.npz"
QUANTIZED = "models/quantized.npz"
DEPLOYED = "models/deployed.npz"
INTEGERS = "models/deployed_int8.npz"
ONNX = "models/student.onnx"
ONNX_INT8 = "models/student_int8.onnx"
HEADER = "models/student.h"
PREDICTIONS = "data/predictions.npz"
METRICS = "metrics"
PAGE = "metrics/page.html"
STARTED = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"}  # in the environment of what an mpiexec has started
LEFT_OUT = ("quantized",)  # `evaluate --quantized=` with no path: without the column of the integers


@dataclass(frozen=True)
class Paths:
    """Of what the stages exchange, relative to the working directory."""

    dataset: str = DATASET
    answers: str = ANSWERS
    teacher: str = TEACHER
    baseline: str = BASELINE
    student: str = STUDENT
    quantized: str = QUANTIZED
    deployed: str = DEPLOYED
    integers: str = INTEGERS
    onnx: str = ONNX
    onnx_int8: str = ONNX_INT8
    header: str = HEADER
    predictions: str = PREDICTIONS
    metrics: str = METRICS
    page: str = PAGE

    def check(self, config):
        """Raises UserError for a path whose file has another ending than it has by default, or for two that are one."""
        given = {name: path for name, path in vars(self).items() if path or name not in LEFT_OUT}
        for name, path in given.items():
            ending = Path(getattr(PATHS, name)).suffix
            if not path.endswith(ending):
                raise UserError(f"--{name}: got {path!r}; needs a path that ends with {ending}")
        apart({f"--{name}": path for name, path in {"config": config, **given}.items()})


PATHS = Paths()


def parser(description, *names):
    """The options that every stage has, and one for each path in `names`."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--config", metavar="FILE", default="params.yaml", help="the parameters (default: %(default)s)")
    result.add_argument("--set", metavar="KEY=VALUE", default=[], action="append", help="in place of the file's")
    for name in names:
        result.add_argument(f"--{name}", metavar="PATH", default=getattr(PATHS, name), help="(default: %(default)s)")
    return result


def writes(*names):
    """Decorator of `main(params, paths)`: as long as it runs, no other process writes what `names` of paths name.

    Of several ranks the first one writes.
    """

    def decorate(main):
        @functools.wraps(main)
        def alone(params, paths=PATHS):
            with contextlib.ExitStack() as stack:
                for name in names if ranks.current.first else ():
                    path = getattr(paths, name)
                    stack.enter_context(exclusive(f"{path}/metrics.json" if name == "metrics" else path))
                return main(params, paths)

        return alone

    return decorate


class _Printable(logging.Formatter):
    """A record is one line, and a terminal obeys nothing in it."""

    def format(self, record):
        return printable(super().format(record))


def start_logging(params):
    if not ranks.current.first:
        logging.disable()
        return
    logging.raiseExceptions = False  # a full disk, too, is told in one line: by what cannot do without it
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


def run(main, arguments, trains=None):
    """Call `main(params, paths)`; a mistake of the user's or of the system's ends in one line and exit code 1.

    trains: function of params that tells whether main trains a network: that several ranks can do.
    """
    with ending_in_a_line():
        interrupts.are_exceptions()
        # Before OpenMP is loaded: its threads wait for each other asleep. Awake, beside other load, they wait for the
        # cores that they take from each other: fits of 0.3 and 0.9 s took 13 and 80 s.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
        params = load_params(arguments.config, arguments.set)
        given = {name: value for name, value in vars(arguments).items() if name in vars(PATHS)}
        paths = Paths(**given)
        paths.check(arguments.config)
        selection.choose(params.execution.kernels)
        threads.limit(params.execution.threads)
        count = params.execution.ranks or 1
        started = STARTED & os.environ.keys()
        context = contextlib.nullcontext()
        if trains and trains(params) and (started or count > 1):
            from kdlib.pipeline import mpi_launcher  # here: who trains alone needs nothing of it

            if not started:
                return mpi_launcher.start(count)
            context = mpi_launcher.joined(params.execution, int(os.environ[min(started)]))
        with context:
            start_logging(params)
            return main(params, paths)
