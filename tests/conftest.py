"""What the tests share: a small experiment, trained once in this process."""

import logging
import os
from pathlib import Path

import pytest
import yaml

from kdlib.params import Params
from stages import distill, evaluate, prepare, train_baseline, train_teacher

ROOT = Path(__file__).parents[1]
MAINS = {
    stage.__name__.split(".")[1]: stage.main for stage in (prepare, train_teacher, train_baseline, distill, evaluate)
}


def quick(**changes):
    """The content of params.yaml with small data and networks. changes: key=value or section={key: value}."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content["replicas"] = 2
    content["prepare"]["dataset"] = "iris"
    content["teacher"] |= {"hidden": [16], "epochs": 3}
    content["student"] |= {"hidden": [8], "epochs": 3}
    content["logging"] |= {"level": "WARNING", "file": None}
    for key, value in changes.items():
        content[key] = content.get(key, {}) | value if isinstance(value, dict) else value
    return content


def quick_params(**changes):
    return Params.model_validate(quick(**changes))


def files(folder):
    """{path: bytes} of all files below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder in which all five stages ran with `quick()`. To be copied, not changed."""
    folder, before = tmp_path_factory.mktemp("trained"), Path.cwd()
    os.chdir(folder)
    try:
        Path("params.yaml").write_text(yaml.safe_dump(quick()), "utf-8")
        for main in MAINS.values():
            main(quick_params())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):  # pytest's own are subclasses
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
