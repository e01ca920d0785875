"""Run all seven stages in one process, without DVC: the same files, with the same bytes.

Reads params.yaml (or --config) and writes data/, models/ and metrics/ in the working directory.
"""

from kdlib.io.artifacts import write_json
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS, Paths, parser, run, writes
from kdlib.pipeline.schema import Params
from stages import deploy, distill, evaluate, page, prepare, train_baseline, train_teacher


@writes(*vars(PATHS))
def main(params: Params, paths: Paths = PATHS) -> dict:
    """Run all stages and return the report of `evaluate`."""
    for stage in (prepare, train_teacher, train_baseline, distill, deploy):
        stage.main(params, paths)
    result = evaluate.main(params, paths)
    page.main(params, paths)
    return result


if __name__ == "__main__":
    options = parser(__doc__)
    options.prog = "python -m stages"
    options.add_argument("--output", metavar="FILE", help="write the results there too, as JSON")
    arguments = options.parse_args()

    def main_and_output(params, paths):
        """Run all stages, then write the report to --output, if it was given."""
        if arguments.output and not arguments.output.endswith(".json"):
            raise UserError(f"--output: got {arguments.output!r}; needs the path of a .json")
        result = main(params, paths)
        if arguments.output:
            write_json(arguments.output, result)

    run(main_and_output, arguments)
