"""Stage export: the network that leaves, for others than kdlib -> models/student.onnx, student_int8.onnx, student.h"""

import logging

from kdlib.deployment.c_source import c_source
from kdlib.deployment.model_file import load
from kdlib.deployment.onnx_export import onnx_file
from kdlib.io.artifacts import write_bytes, write_text
from kdlib.pipeline.command_line import PATHS, parser, run, writes

log = logging.getLogger("export")


@writes("onnx", "onnx_int8", "header")
def main(params, paths=PATHS):
    floats, integers = load(paths.deployed), load(paths.integers)
    source, models = c_source(integers), [onnx_file(of) for of in (floats, integers)]
    for path, content in zip((paths.onnx, paths.onnx_int8), models, strict=True):
        write_bytes(path, content)
    write_text(paths.header, source)
    log.info("%s, %s, %s", paths.onnx, paths.onnx_int8, paths.header)


if __name__ == "__main__":
    run(main, parser(__doc__, "deployed", "integers", "onnx", "onnx_int8", "header").parse_args())
