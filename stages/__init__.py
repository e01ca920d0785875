"""The stages of the pipeline: shells around `kdlib`. Each reads params and `.npz`, and writes `.npz`, JSON and CSV."""

import argparse
import logging
import sys
from pathlib import Path

from kdlib.errors import UserError
from kdlib.params import load_params

DATASET = "data/dataset.npz"
TEACHER = "models/teacher.npz"
BASELINE = "models/baseline.npz"
STUDENT = "models/student.npz"
PREDICTIONS = "data/predictions.npz"
METRICS = "metrics"


def parser(description):
    """The options that every stage has. Paths in it are relative to the working directory."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--config", metavar="FILE", default="params.yaml", help="the parameters (default: %(default)s)")
    return result


def start_logging(params):
    handlers = [logging.StreamHandler()]
    if params.logging.file:
        Path(params.logging.file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(params.logging.file, encoding="utf-8"))
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=params.logging.level, format=form, datefmt="%H:%M:%S", handlers=handlers, force=True)


def run(main, arguments):
    """Call `main(params)`; a mistake of the user's or of the file system ends in one line on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        params = load_params(arguments.config)
        start_logging(params)
        return main(params)
    except UserError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    except KeyboardInterrupt:
        message = "interrupted; no file is half written"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
