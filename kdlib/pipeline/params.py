"""Read `params.yaml`: return validated parameters, or raise an error of one line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import yaml
from pydantic import ValidationError

from kdlib.io import npz_reader
from kdlib.io.errors import UserError
from kdlib.pipeline import yaml_loader
from kdlib.pipeline.field_types import SCHEDULE_TAGS, Section
from kdlib.pipeline.schema import Params

SECTIONS = {name for name, field in Params.model_fields.items() if isinstance(field.default, Section)}


def _sections(kind):
    """List the sections' classes that occur in a type."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    return [section for of in get_args(kind) for section in _sections(of)]


def _section(parts):
    """Find the class of the section that the key with these parts names."""
    section = Params
    for part in parts:
        if part in section.model_fields:
            (section,) = _sections(section.model_fields[part].annotation)
    return section


def _explain(error):
    """Turn an error of pydantic's into one line: key, what was found, what is allowed."""
    key = ".".join(str(part) for part in error["loc"] if part not in SCHEDULE_TAGS)
    key = re.sub(r"\.(temperature|alpha|learning_rate)\.\d+(?=\.|$)", r".\1", key)
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed are {', '.join(_section(error['loc'][:-1]).model_fields)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "value_error":
        return ": ".join(filter(None, (key, str(error["ctx"]["error"]))))
    if error["type"] == "model_type":
        return f"{key}: got {error['input']!r}; needs keys and values: {', '.join(_section(error['loc']).model_fields)}"
    return f"{key}: got {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}"


def _change(content, change):
    """Set `section.key=value` in the nested dict `content`; the value is YAML."""
    name, equals, value = change.partition("=")
    *parents, key = name.split(".")
    for parent in parents:
        if isinstance(content, dict):
            if content.get(parent) is None and parent in SECTIONS:
                content[parent] = {}
            content = content.get(parent)
    if not equals or not isinstance(content, dict):
        raise UserError(f"--set {change}: got no KEY=VALUE of a key such as student.epochs=20")
    try:
        content[key] = yaml_loader.load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {change}: {value!r} is not YAML") from None


def load_params(path: Path | str, changes: Sequence[str] = ()) -> Params:
    """Read and validate a file of parameters. A key or a section that it lacks has its default.

    Parameters
    ----------
    path : Path or str
        A YAML file.
    changes : sequence of str
        Values that replace the file's, such as "student.epochs=20".

    Returns
    -------
    Params

    Raises
    ------
    UserError
        Names the key, what was found and what is allowed.
    """
    try:
        with npz_reader.open_regular_file(path) as file:
            content = yaml_loader.load(file.read(yaml_loader.MAX_BYTES + 1))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from a folder that has one, or name it with --config") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, not keys and values")
    for change in changes:
        _change(content, change)
    content = {key: value for key, value in content.items() if value is not None or key not in SECTIONS}
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        found = [_explain(entry) for entry in error.errors()]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(f"{path}: {found[0]}{more}") from None
