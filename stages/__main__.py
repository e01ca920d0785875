"""Run all stages in one process, without DVC: the same files, with the same bytes.

Reads params.yaml (or --config) and writes data/, models/ and metrics/ in the working directory.
"""

from importlib import import_module

from kdlib.backends.context import Context
from kdlib.io.artifacts import write_json
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params
from stages import STAGES

MODULES = {name: import_module(f"stages.{name}") for name in STAGES}


@locks_outputs(*vars(PATHS))
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> dict:
    """Run all stages and return the report of `evaluate`."""
    report = {}
    for name, module in MODULES.items():
        result = module.main(params, paths, context)
        if name == "evaluate":
            report = result
    return report


if __name__ == "__main__":
    options = stage_parser(__doc__)
    options.prog = "python -m stages"
    options.add_argument("--output", metavar="FILE", help="write the results there too, as JSON")
    arguments = options.parse_args()

    def main_and_output(params, paths, context):
        """Run all stages, then write the report to --output, if it was given."""
        if arguments.output and not arguments.output.endswith(".json"):
            raise UserError(f"--output: got {arguments.output!r}; needs the path of a .json")
        result = main(params, paths, context)
        if arguments.output:
            write_json(arguments.output, result)

    run_stage(main_and_output, arguments)
