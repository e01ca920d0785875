"""Types of the values in `params.yaml`, and its smallest sections. Values out of bounds mean nothing or never end."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (  # isort: skip
    AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator,
)  # fmt: skip

from kdlib.data.readers import TABLE_SUFFIXES
from kdlib.data.weights import BALANCED, MAX_WEIGHT

if TYPE_CHECKING:
    from kdlib.learning.augmentation import Views
    from kdlib.learning.schedules import LinearSchedule

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Bits = Literal[8, 4, 2]
# Of replicas of a split (`kdlib.numerics.streams` numbers networks by it), settings of a sweep, views, ranks.
MAX_COUNT = 1000
Replicas = Annotated[int, Field(ge=1, le=MAX_COUNT)]
# Beyond these bounds the softened probabilities are, to the last bit, one class or all equal.
Temperature = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, le=1e6)]


def OneOrMany(kind: object) -> object:  # noqa: N802 - a type
    """Return the type of one value or a list of values, which becomes a list."""
    listed = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
    return Annotated[list[kind], Field(min_length=1), listed]


# YAML reads a class or a column named 3 as a number.
Name = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]


def _class_weight(given):
    """Check `prepare.class_weight`; its names are compared with the classes by the stage prepare."""
    if given is None or given == BALANCED:
        return given
    if not isinstance(given, dict) or not given:
        raise ValueError(f"got {given!r}; needs {BALANCED}, weights of classes such as {{fraud: 5}}, or null")
    for name, weight in given.items():
        if type(name) not in (str, int):  # YAML reads yes and no as truth values
            raise ValueError(f"got the class {name!r}; needs its name, in quotes where YAML reads no text, as 'yes'")
        if type(weight) not in (int, float) or not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"got {weight!r} for {name!r}; needs a number from 0 to {MAX_WEIGHT:g}")
    return {str(name): float(weight) for name, weight in given.items()}


ClassWeight = Annotated[Any, AfterValidator(_class_weight)]

ARRAY_SUFFIX = ".npy"


class Section(BaseModel):
    """A section of params.yaml: frozen, without conversions between types, without unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Schedule(Section):
    """A number that changes linearly from the first epoch to the last."""

    def to_schedule(self) -> "LinearSchedule":
        """Return the schedule of these keys."""
        from kdlib.learning.schedules import LinearSchedule  # here: `prepare` depends on no learning

        return LinearSchedule(self.start, self.end)


class TemperatureSchedule(Schedule):
    """A schedule of temperatures."""

    start: Temperature
    end: Temperature


class AlphaSchedule(Schedule):
    """A schedule of alphas."""

    start: Fraction
    end: Fraction


# Of the two types of `NumberOrSchedule`; pydantic's errors name them among the keys.
SCHEDULE_TAGS = "<number>", "<schedule>"  # no key has such a name


def NumberOrSchedule(number: object, schedule: object) -> object:  # noqa: N802 - a type
    """Return the type of a number, or of the keys and values of a schedule."""
    one_of = Annotated[number, Tag(SCHEDULE_TAGS[0])] | Annotated[schedule, Tag(SCHEDULE_TAGS[1])]
    return Annotated[one_of, Discriminator(lambda value: SCHEDULE_TAGS[isinstance(value, dict | Section)])]


def must_be_in_data_raw(path: str) -> str:
    """Refuse a file outside of data/raw: DVC hashes that folder, and would not see that a file elsewhere has changed.

    Parameters
    ----------
    path : str
        May be something else than a file, such as the name of a dataset.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If `path` ends as a file of data does and is not in data/raw.
    """
    parts = PurePosixPath(path).parts
    inside = parts[:2] == ("data", "raw") and ".." not in parts
    if path.lower().endswith((".npz", ARRAY_SUFFIX, *TABLE_SUFFIXES)) and not inside:
        raise ValueError(
            f"got {path!r}, whose changes DVC would not see; a file must be in data/raw/: copy it to"
            f" data/raw/{PureWindowsPath(path).name} and name that"
        )
    return path


Source = Annotated[str, AfterValidator(must_be_in_data_raw)]


def _in_logs(file):
    """Refuse a file outside of logs/: a log is appended to its file, which would damage any other file."""
    parts = PureWindowsPath(file).parts
    if parts[:1] != ("logs",) or len(parts) < 2 or ".." in parts or not file.isprintable():
        raise ValueError(f"got {file!r}; a log must be in logs/, such as logs/app.log")
    return file


LogFile = Annotated[str, AfterValidator(_in_logs)]


class Augment(Section):
    """Section `augment` of a training: shifted or distorted views of images."""

    shift: Annotated[int, Field(ge=0, le=1000)] = 0
    views: Annotated[int, Field(ge=2, le=MAX_COUNT)] = 16
    affine: Fraction = 0.0
    elastic: Annotated[float, Field(ge=0, le=1000)] = 0.0

    @model_validator(mode="after")
    def _some(self):
        if not (self.shift or self.affine or self.elastic):
            raise ValueError("needs shift or elastic, in pixels, or affine, such as 0.1; or null")
        if "views" in self.model_fields_set and not (self.affine or self.elastic):
            raise ValueError("views is of random ones, with affine or elastic; shift alone has them all")
        return self

    def to_views(self) -> "Views":
        """Return the views of an image, numbered."""
        from kdlib.learning.augmentation import Views  # here: `prepare` depends on no learning

        return Views(self.shift, self.views, float(self.affine), float(self.elastic))


class Transfer(Section):
    """Section `prepare.transfer`: further rows for the student, without labels."""

    rows: Source | None = None
    synthesis: Literal["mixup", "munge"] | None = None
    times: Annotated[int, Field(ge=1, le=100)] = 8

    @model_validator(mode="after")
    def _some(self):
        if not (self.rows or self.synthesis) or not (self.rows or ".npz").lower().endswith((".npz", *TABLE_SUFFIXES)):
            raise ValueError("needs rows, a .npz or a table in data/raw/, or synthesis, mixup or munge, or both")
        return self


class Logging(Section):
    """Section `logging`."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG, INFO, WARNING or ERROR"""
    file: LogFile | None = None
    """null, or a file to log to as well, such as logs/app.log"""


def _scheduler(address):
    if not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}", address, re.ASCII):
        raise ValueError(f"got {address!r}; needs the address of a Dask scheduler, such as tcp://host:8786")
    return address


class Execution(Section):
    """Section `execution`: what changes the speed and not the bytes."""

    kernels: Literal["auto", "numpy", "numba"] = "auto"
    """auto (numba where it is installed and a run is long enough), numpy or numba"""
    threads: Count | None = None
    """greatest number of threads of a training; null: as many as help"""
    ranks: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """processes that share the rows of each training's batches, by mpiexec; null: one"""
    wait: Positive = 600
    """seconds that a rank waits for another, before the run ends with its checkpoint"""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    """processes that train side by side; auto: one for each core, where a run is long enough"""
    cluster: Annotated[str, AfterValidator(_scheduler)] | None = None
    """tcp://host:8786 of a Dask scheduler whose workers train instead; null: this machine"""

    @model_validator(mode="after")
    def _whose_workers(self):
        several = self.workers not in ("auto", 1)
        if self.cluster and several:
            raise ValueError(f"workers: got {self.workers} with a cluster, which has its own; set 1, or cluster null")
        if (self.ranks or 1) > 1 and (self.cluster or several):
            raise ValueError(f"ranks: got {self.ranks} with workers or a cluster; have either, and the other null or 1")
        return self
