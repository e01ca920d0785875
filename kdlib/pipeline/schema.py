"""The keys of `params.yaml` and the values that each allows. What a key means is explained in that file, beside it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from kdlib.data.encoding import ENCODINGS
from kdlib.pipeline.field_types import (
    ARRAY_SUFFIX,
    MAX_COUNT,
    TABLE_SUFFIXES,
    AlphaSchedule,
    Augment,
    BelowOne,
    Beta,
    Bits,
    Count,
    Execution,
    Fraction,
    Logging,
    Name,
    NonNegative,
    NumberOrSchedule,
    OneOrMany,
    Positive,
    Replicas,
    Schedule,
    Section,
    Source,
    Temperature,
    TemperatureSchedule,
    Transfer,
    must_be_in_data_raw,
)  # fmt: skip

if TYPE_CHECKING:
    from kdlib.learning.recipe import Recipe
    from kdlib.learning.schedules import LinearSchedule
    from kdlib.preparation.column_options import ColumnOptions


def _encoding_name(name):
    if name not in ENCODINGS:
        raise ValueError(f"got {name!r}; allowed are {', '.join(ENCODINGS)}")
    return name


class Prepare(Section):
    """Section `prepare`."""

    dataset: Source
    target: Name | None
    drop: list[Name]
    categories: list[Name]
    missing: list[Name] = Field(default_factory=list)
    encodings: dict[Name, Annotated[str, AfterValidator(_encoding_name)]] = Field(
        default_factory=dict, description="encodings of columns of a table, such as {income: number}"
    )
    splits: Annotated[int, Field(ge=1, le=1000)]
    train_ratio: Annotated[float, Field(gt=0, lt=1)]
    val_ratio: Annotated[float, Field(gt=0, lt=1)]
    max_samples: Count | None
    scaling: Literal["auto", "minmax", "standard", "none"]
    labeled_fraction: Annotated[float, Field(gt=0, le=1)]
    transfer_classes: Annotated[list[Name], Field(min_length=1)] | None
    transfer: Transfer | None

    @model_validator(mode="after")
    def _transfer_classes(self):
        if self.transfer_classes is not None and (self.labeled_fraction < 1 or self.transfer):
            raise ValueError("transfer_classes needs labeled_fraction: 1.0 and transfer: null; else not all are known")
        return self

    @model_validator(mode="after")
    def _named_target(self):
        name = self.dataset.lower()
        if name.endswith(TABLE_SUFFIXES) and self.target is None:
            raise ValueError("target must name the column of a table that has the classes")
        if name.endswith(ARRAY_SUFFIX) and not (self.target or "").lower().endswith(ARRAY_SUFFIX):
            raise ValueError(f"target must name the .npy that has the classes of {self.dataset}")
        if name.endswith(ARRAY_SUFFIX):
            must_be_in_data_raw(self.target)
        if (self.drop or self.categories or self.missing) and not name.endswith(TABLE_SUFFIXES) and ":" not in name:
            raise ValueError(f"drop, categories and missing are of a table, and {self.dataset} is none; leave them []")
        if self.encodings and not name.endswith(TABLE_SUFFIXES) and ":" not in name:
            raise ValueError(f"encodings are of a table, and {self.dataset} is none; leave them {{}}")
        return self

    def column_options(self) -> "ColumnOptions":
        """Return what these keys say about the columns of a table."""
        from kdlib.preparation.column_options import ColumnOptions  # here: other stages depend on no preparation

        return ColumnOptions(self.drop, self.categories, self.missing, self.encodings)

    @model_validator(mode="after")
    def _test_split(self):
        if self.train_ratio + self.val_ratio >= 1:
            raise ValueError("train_ratio + val_ratio must be less than 1: the rest is the test split")
        return self


class Training(Section):
    """Keys that `teacher` and `student` have in common."""

    hidden: list[Count]
    epochs: Count
    learning_rate: Positive
    batch_size: Count
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: BelowOne
    nesterov: bool
    weight_decay: NonNegative
    schedule: Literal["constant", "linear"]
    warmup: BelowOne
    input_dropout: BelowOne
    dropout: BelowOne
    max_norm: Positive | None
    augment: Augment | None
    patience: Count | None

    def recipe(self) -> "Recipe":
        """Return the recipe of these keys; of several learning rates it has the first."""
        from kdlib.learning.recipe import Recipe  # here: the stage prepare reads params, but depends on no learning

        keys = {key: getattr(self, key) for key in Training.model_fields if key not in ("hidden", "augment")}
        keys |= {"learning_rate": self.learning_rate[0]} if isinstance(self.learning_rate, list) else {}
        keys |= {"bits": getattr(self, "bits", None), "views": len(self.augment.to_views()) if self.augment else 1}
        return Recipe(tuple(self.hidden), **keys)


class Teacher(Training):
    """Section `teacher`."""

    model: Source
    options: dict[str, Any] | None
    folds: Annotated[int, Field(ge=2, le=100)]
    members: Replicas

    @model_validator(mode="after")
    def _options_of_a_classifier(self):
        if self.options and (self.model == "mlp" or self.model.endswith(".npz")):
            raise ValueError(f"options are of a classifier of scikit-learn, and model is {self.model}; set null")
        return self


class Student(Training):
    """Section `student`."""

    learning_rate: OneOrMany(Positive)
    bits: Bits | None


class Distill(Section):
    """Section `distill`."""

    loss: Literal["kd", "mse", "dkd", "ls"]
    temperature: OneOrMany(NumberOrSchedule(Temperature, TemperatureSchedule))
    alpha: OneOrMany(NumberOrSchedule(Fraction, AlphaSchedule))
    scale_by_t2: bool
    beta: Beta
    smoothing: BelowOne
    standardize_logits: bool

    def values_to_try(self) -> "dict[str, list[float | LinearSchedule]]":
        """Return all values to try, {name: list} of temperature and alpha."""
        given = {"temperature": self.temperature, "alpha": self.alpha}
        return {
            name: [value.to_schedule() if isinstance(value, Schedule) else value for value in values]
            for name, values in given.items()
        }


class Deploy(Section):
    """Section `deploy`."""

    bits: Bits


class Params(Section):
    """All parameters."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    arithmetic: Literal["exact", "fast"]
    replicas: Replicas
    checkpoint: Count | None
    prepare: Prepare
    teacher: Teacher
    student: Student
    distill: Distill
    deploy: Deploy
    logging: Logging
    execution: Execution

    @model_validator(mode="after")
    def _sections_agree(self):
        settings = len(self.distill.temperature) * len(self.distill.alpha) * len(self.student.learning_rate)
        if settings > MAX_COUNT:
            raise ValueError(
                f"distill: {settings} settings of temperature, alpha and learning_rate; at most {MAX_COUNT}"
            )
        if self.student.bits not in (None, self.deploy.bits):
            raise ValueError(f"deploy.bits: got {self.deploy.bits}, student.bits {self.student.bits}; set both alike")
        for name in ("teacher", "student"):
            if getattr(self, name).augment and self.prepare.scaling == "standard":
                raise ValueError(f"{name}.augment needs prepare.scaling: minmax or none, which pixels share")
        return self
