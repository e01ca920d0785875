"""Write a DVC project of one's own, which runs the installed kdlib: its pipeline, parameters and scripts.

DVC can track no code of an installed package. A project tracks the number in CODE_FILE in its place, and each stage
checks that it is `kdlib.BYTES`, which changes where the same parameters give other bytes.
"""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import yaml

import kdlib
from kdlib.io import npz_reader
from kdlib.io.atomic import replacing_folder
from kdlib.io.errors import UserError, printable
from kdlib.io.text_template import fill_template
from kdlib.pipeline import yaml_loader

CODE_FILE = "kdlib.yaml"
TEMPLATE = Path(__file__).parent / "template"
# A wheel has the files of the repository in TEMPLATE, where template/build_wheel.py put them.
SOURCES = TEMPLATE if (TEMPLATE / "stages").is_dir() else Path(__file__).parents[2]
COPIED = (".dvcignore", ".gitignore", "docs/parameters.md", "params.yaml")
LINE_LENGTH = 120
CODE_COMMENT = """\
# Stands for the code of kdlib. The number changes where the same parameters give other bytes, and a stage runs only
# with a kdlib of this number. After an upgrade set the new number: all stages run again.
"""


def pipeline(text: str) -> str:
    """Replace the folders of kdlib's code by the number in CODE_FILE.

    Parameters
    ----------
    text : str
        Of the repository's dvc.yaml.

    Returns
    -------
    str
        Of the project's dvc.yaml.
    """
    stages = yaml.safe_load(text)["stages"]
    parts = []
    for name, stage in stages.items():
        stage["deps"] = [path for path in stage["deps"] if path.split("/")[0] != "kdlib"]
        stage["params"] = [*stage["params"], {CODE_FILE: ["BYTES"]}]
        part = yaml.safe_dump({name: stage}, sort_keys=False, default_flow_style=None, width=LINE_LENGTH - 2)
        parts.append("".join(f"  {line}\n" for line in part.splitlines()))
    return "stages:\n" + "\n".join(parts)


def project_files(name: str) -> dict[str, bytes]:
    """Return the content of all files of a new project, {path: bytes}.

    Parameters
    ----------
    name : str
        Title of its README.

    Raises
    ------
    UserError
        If kdlib runs from a folder and is not installed.
    """
    try:
        version = kdlib.__version__
    except PackageNotFoundError:
        raise UserError("new: kdlib is not installed: pip install -e '.[pipeline]' in its folder") from None
    texts = {
        CODE_FILE: CODE_COMMENT + f"BYTES: {kdlib.BYTES}\n",
        "README.md": fill_template((TEMPLATE / "README.md").read_text("utf-8"), NAME=printable(name)),
        "data/raw/.gitkeep": "",
        "dvc.yaml": pipeline((SOURCES / "dvc.yaml").read_text("utf-8")),
        "requirements.txt": f"kdlib[pipeline]=={version}\n",
    }
    copied = [SOURCES / path for path in COPIED] + sorted(SOURCES.glob("stages/*.py"))
    files = {path.relative_to(SOURCES).as_posix(): path.read_bytes() for path in copied}
    return files | {path: text.encode() for path, text in texts.items()}


def write_project(folder: Path | str) -> None:
    """Write a new project, whole or not at all.

    Parameters
    ----------
    folder : path-like
        Absent, or empty.

    Raises
    ------
    UserError
        If the folder holds something or is the working directory, or as `project_files` does.
    """
    path = Path(folder).resolve()
    if path.is_dir() and (held := sorted(entry.name for entry in path.iterdir())):
        raise UserError(f"{folder}: holds {held[0]}; needs a new folder or an empty one")
    if path == Path.cwd():
        raise UserError(f"{folder or '.'}: the folder that you are in; needs the name of a new one")
    files = project_files(path.name)
    with replacing_folder(path) as own:
        for name, content in files.items():
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(content)


def check_code_file(path: Path | str = CODE_FILE) -> None:
    """Check that the number that a project tracks is that of the installed kdlib; without the file nothing is checked.

    Raises
    ------
    UserError
        If the number is another one, or if the file is not as `project_files` has it.
    """
    try:
        with npz_reader.open_regular_file(path) as file:
            content = yaml_loader.load(file.read(yaml_loader.MAX_BYTES + 1))
    except FileNotFoundError:
        return
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict) or type(content.get("BYTES")) is not int:
        raise UserError(f"{path}: needs the line BYTES: {kdlib.BYTES}, the number of the installed kdlib")
    if content["BYTES"] != kdlib.BYTES:
        raise UserError(
            f"{path}: BYTES is {content['BYTES']}, and that of the installed kdlib {kdlib.BYTES}: it gives other bytes;"
            f" `pip install -r requirements.txt` brings the one before; or set BYTES: {kdlib.BYTES} there, and"
            " `dvc repro` runs all stages again"
        )
