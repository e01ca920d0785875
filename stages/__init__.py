"""The stages of the pipeline: shells around `kdlib`. Each reads params and `.npz`, and writes `.npz`, JSON and CSV."""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from kdlib.errors import UserError
from stages.params import load_params

DATASET = "data/dataset.npz"
TEACHER = "models/teacher.npz"
BASELINE = "models/baseline.npz"
STUDENT = "models/student.npz"
PREDICTIONS = "data/predictions.npz"
METRICS = "metrics"


@dataclass(frozen=True)
class Paths:
    """Of what the stages exchange, relative to the working directory."""

    dataset: str = DATASET
    teacher: str = TEACHER
    baseline: str = BASELINE
    student: str = STUDENT
    predictions: str = PREDICTIONS
    metrics: str = METRICS


PATHS = Paths()


def parser(description, *names):
    """The options that every stage has, and one for each path in `names`."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--config", metavar="FILE", default="params.yaml", help="the parameters (default: %(default)s)")
    result.add_argument("--set", metavar="KEY=VALUE", default=[], action="append", help="in place of the file's")
    for name in names:
        result.add_argument(f"--{name}", metavar="PATH", default=getattr(PATHS, name), help="(default: %(default)s)")
    return result


def start_logging(params):
    handlers = [logging.StreamHandler()]
    if params.logging.file:
        Path(params.logging.file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(params.logging.file, encoding="utf-8"))
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=params.logging.level, format=form, datefmt="%H:%M:%S", handlers=handlers, force=True)


def run(main, arguments):
    """Call `main(params, paths)`; a mistake of the user's or of the file system ends in one line and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        params = load_params(arguments.config, arguments.set)
        start_logging(params)
        given = {name: value for name, value in vars(arguments).items() if name in vars(PATHS)}
        return main(params, Paths(**given))
    except UserError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    except KeyboardInterrupt:
        message = "interrupted; no file is half written"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
