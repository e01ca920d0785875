"""The keys of `params.yaml` and what each may be. What each means stands there, beside it."""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def Swept(kind):  # noqa: N802 - a type
    """One value or several, as a list."""
    listed = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
    return Annotated[list[kind], Field(min_length=1), listed]


# YAML reads a class named 3 as a number.
ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Prepare(Section):
    dataset: str
    target: str | None
    splits: Annotated[int, Field(ge=1, le=1000)]
    train_ratio: Annotated[float, Field(gt=0, lt=1)]
    val_ratio: Annotated[float, Field(gt=0, lt=1)]
    max_samples: Count | None
    scaling: Literal["auto", "minmax", "standard", "none"]
    labeled_fraction: Annotated[float, Field(gt=0, le=1)]
    transfer_classes: Annotated[list[ClassName], Field(min_length=1)] | None

    @field_validator("dataset")
    @classmethod
    def _tracked(cls, dataset):
        """DVC hashes `data/raw`, and would not see that a file elsewhere has changed."""
        parts = PurePosixPath(dataset).parts
        if dataset.endswith((".npz", ".csv")) and (parts[:2] != ("data", "raw") or ".." in parts):
            raise ValueError(
                f"got {dataset!r}, whose changes DVC would not see; a file must be in data/raw/: copy it to"
                f" data/raw/{PureWindowsPath(dataset).name} and name that"
            )
        return dataset

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
        from kdlib.learning.recipe import Recipe  # here: the stage prepare reads params, and depends on no learning

        keys = {key: getattr(self, key) for key in Training.model_fields if key not in ("hidden", "augment")}
        keys |= {"learning_rate": self.learning_rate[0]} if isinstance(self.learning_rate, list) else {}
        return Recipe(tuple(self.hidden), **keys, shift=self.augment.shift if self.augment else 0)


class Teacher(Training):
    members: Count


class Student(Training):
    learning_rate: Swept(Positive)


class Distill(Section):
    loss: Literal["kd", "mse", "dkd", "ls"]
    temperature: Swept(Positive)
    alpha: Swept(Fraction)
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
    student: Student
    distill: Distill
    logging: Logging

    @model_validator(mode="after")
    def _augment(self):
        for name in ("teacher", "student"):
            if getattr(self, name).augment and self.prepare.scaling == "standard":
                raise ValueError(f"{name}.augment needs prepare.scaling: minmax or none, which pixels share")
        return self
