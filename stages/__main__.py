"""Run all seven stages in one process, without DVC: the same files, with the same bytes.

Reads params.yaml (or --config) and writes data/, models/ and metrics/ in the working directory.
"""

from kdlib.backends.context import Context
from kdlib.io.artifacts import write_json
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params
from stages import deploy, distill, evaluate, page, prepare, train_baseline, train_teacher


@locks_outputs(*vars(PATHS))
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> dict:
    """Run all stages and return the report of `evaluate`."""
    for stage in (prepare, train_teacher, train_baseline, distill, deploy):
        stage.main(params, paths, context)
    result = evaluate.main(params, paths, context)
    page.main(params, paths, context)
    return result


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
