"""All five stages in one process, without DVC: the same files, with the same bytes.

Reads params.yaml (or --config) and writes data/, models/ and metrics/ in the working directory.
"""

from kdlib.artifacts import write_json
from stages import PATHS, distill, evaluate, parser, prepare, run, train_baseline, train_teacher


def main(params, paths=PATHS):
    for stage in (prepare, train_teacher, train_baseline, distill):
        stage.main(params, paths)
    return evaluate.main(params, paths)


if __name__ == "__main__":
    options = parser(__doc__)
    options.prog = "python -m stages"
    options.add_argument("--output", metavar="FILE", help="write the results there too, as JSON")
    arguments = options.parse_args()

    def main_and_output(params, paths):
        result = main(params, paths)
        if arguments.output:
            write_json(arguments.output, result)

    run(main_and_output, arguments)
