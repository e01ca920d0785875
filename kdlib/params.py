"""The validated parameters of `params.yaml`. What each key means stands there, beside it."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kdlib.errors import UserError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]

# YAML reads a class named 3 as a number.
ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Prepare(Section):
    dataset: str
    target: str | None
    train_ratio: Annotated[float, Field(gt=0, lt=1)]
    val_ratio: Annotated[float, Field(gt=0, lt=1)]
    max_samples: Count | None
    scaling: Literal["minmax", "standard", "none"]
    labeled_fraction: Annotated[float, Field(gt=0, le=1)]
    transfer_classes: Annotated[list[ClassName], Field(min_length=1)] | None

    @model_validator(mode="after")
    def _transfer_classes(self):
        if self.transfer_classes is not None and self.labeled_fraction < 1:
            raise ValueError("transfer_classes needs labeled_fraction: 1.0, or else the classes are not all known")
        return self

    @model_validator(mode="after")
    def _named_target(self):
        if self.dataset.endswith(".csv") and self.target is None:
            raise ValueError("target must name the column of a .csv that has the classes")
        return self

    @model_validator(mode="after")
    def _test_split(self):
        if self.train_ratio + self.val_ratio >= 1:
            raise ValueError("train_ratio + val_ratio must be less than 1: the rest is the test split")
        return self


class Augment(Section):
    shift: Count


class Training(Section):
    hidden: list[Count]
    epochs: Count
    learning_rate: Positive
    batch_size: Count
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: BelowOne
    nesterov: bool
    weight_decay: NonNegative
    schedule: Literal["constant", "linear"]
    input_dropout: BelowOne
    dropout: BelowOne
    max_norm: Positive | None
    augment: Augment | None
    patience: Count | None

    def recipe(self):
        """The keyword arguments of `kdlib.training.train`."""
        keys = {key: getattr(self, key) for key in Training.model_fields if key != "augment"}
        return keys | {"shift": self.augment.shift if self.augment else 0}


class Teacher(Training):
    members: Count


class Distill(Section):
    loss: Literal["kd", "mse", "dkd", "ls"]
    temperature: Positive
    alpha: Fraction
    scale_by_t2: bool
    beta: NonNegative
    smoothing: BelowOne
    standardize_logits: bool


class Logging(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    file: str | None


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    arithmetic: Literal["exact", "fast"]
    replicas: Annotated[int, Field(ge=1, le=1000)]
    checkpoint: Count | None
    prepare: Prepare
    teacher: Teacher
    student: Training
    distill: Distill
    logging: Logging

    @model_validator(mode="after")
    def _augment(self):
        for name in ("teacher", "student"):
            if getattr(self, name).augment and self.prepare.scaling == "standard":
                raise ValueError(f"{name}.augment needs prepare.scaling: minmax or none, which pixels share")
        return self


def _section(parts):
    """The model of the section that the key with these parts names."""
    section = Params
    for part in parts:
        kind = section.model_fields[part].annotation
        section = next((option for option in get_args(kind) if option is not type(None)), kind)
    return section


def _explain(error):
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed are {', '.join(_section(error['loc'][:-1]).model_fields)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "value_error":
        return ": ".join(filter(None, (key, str(error["ctx"]["error"]))))
    if error["type"] == "model_type":
        return f"{key}: got {error['input']!r}; needs keys and values: {', '.join(_section(error['loc']).model_fields)}"
    text = error["type"] == "float_type" and isinstance(error["input"], str)
    hint = " (with an exponent YAML wants it as 1.0e-3)" if text else ""
    return f"{key}: got {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}{hint}"


def _change(content, change):
    """Set `section.key=value` in the nested dict `content`; the value is YAML."""
    name, equals, value = change.partition("=")
    *parents, key = name.split(".")
    for parent in parents:
        content = content.get(parent) if isinstance(content, dict) else None
    if not equals or not isinstance(content, dict):
        raise UserError(f"--set {change}: got no KEY=VALUE of a key such as student.epochs=20")
    try:
        content[key] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {change}: {value!r} is not YAML") from None


def load_params(path, changes=()):
    """`Params` of the YAML file at `path`, with `changes` such as "student.epochs=20".

    Raises UserError, naming the key, what it got and what is allowed.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from a folder that has one, or name it with --config") from None
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, not keys and values")
    for change in changes:
        _change(content, change)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        found = [_explain(entry) for entry in error.errors()]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(f"{path}: {found[0]}{more}") from None
