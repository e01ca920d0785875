"""Writes the code that stages depend on into the experiments' dvc.yaml: python experiments/dependencies.py

They are the files in the folders that the project's own stages depend on, see there.
"""

import re
import textwrap
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST = re.compile(r"^(?P<indent> +)deps: \[\n(?P<items>[^\]]*)\]$", re.MULTILINE)


def code(stage):
    """The files of code of a stage of the project's own, from its root."""
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"][stage]["deps"]
    named = [ROOT / dep for dep in deps if dep.startswith(("kdlib/", "stages/"))]
    files = {file for path in named for file in ([path] if path.suffix else path.glob("**/*.py"))}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def rewritten(text):
    """The text of a dvc.yaml; what a stage lists in deps that is no code of the project stays, and goes first."""
    own = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]

    def deps(match):
        stage = re.findall(r"^  (\w+):$", text[: match.start()], re.MULTILINE)[-1]
        begin = text.rindex(f"\n  {stage}:\n", 0, match.start())
        module = re.search(r"-m stages\.(\w+)", text[begin : match.start()])
        if not module or module[1] not in own:
            return match[0]
        items = [item.strip() for item in match["items"].split(",")]
        items = [item for item in items if item and not re.match(r"\.\./\.\./(kdlib|stages)/", item)]
        items += [f"../../{file}" for file in code(module[1])]
        indent = {name: match["indent"] + "  " for name in ("initial_indent", "subsequent_indent")}
        lines = textwrap.fill(", ".join(items), 119, **indent, break_long_words=False, break_on_hyphens=False)
        return f"{match['indent']}deps: [\n{lines}]"

    return LIST.sub(deps, text)


if __name__ == "__main__":
    for path in sorted(ROOT.glob("experiments/*/dvc.yaml")):
        path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
