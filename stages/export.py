"""Stage export: write the deployed network for other programs -> models/student.onnx, student_int8.onnx, student.h"""

import logging

from kdlib.backends.context import Context
from kdlib.deployment.c_source import c_source
from kdlib.deployment.model_file import load
from kdlib.deployment.onnx_export import onnx_file
from kdlib.io.artifacts import write_bytes, write_text
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params

log = logging.getLogger("export")


@locks_outputs("onnx", "onnx_int8", "header")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage."""
    floats = load(paths.deployed)
    integers = load(paths.integers)
    # Everything is computed before anything is written, so that an error leaves the old files as they are.
    source = c_source(integers)
    onnx_floats = onnx_file(floats)
    onnx_integers = onnx_file(integers)
    write_bytes(paths.onnx, onnx_floats)
    write_bytes(paths.onnx_int8, onnx_integers)
    write_text(paths.header, source)
    log.info("%s, %s, %s", paths.onnx, paths.onnx_int8, paths.header)


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "deployed", "integers", "onnx", "onnx_int8", "header").parse_args())
