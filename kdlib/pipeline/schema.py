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
    ClassWeight,
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

    dataset: Source = "digits"
    """digits, iris, wine, breast_cancer; data/raw/my.npz, .csv (also .gz) or .parquet; openml:61 and the like"""
    target: Name | None = None
    """column of a table that has the classes; null: openml.org's own, and for all others"""
    drop: list[Name] = []
    """columns of a table that are no features, such as [id]"""
    categories: list[Name] = []
    """columns of a table that are categories though they hold numbers, such as [postcode]"""
    missing: list[Name] = []
    """texts that mean a missing value in a table, besides NA and the like, such as [unknown]"""
    encodings: dict[Name, Annotated[str, AfterValidator(_encoding_name)]] = {}
    """encodings of columns, category or number, such as {postcode: category}; the cells of the others decide"""
    weight: Name | None = None
    """column of a table that has the rows' weights in the losses, and is no feature; null: all weigh the same"""
    class_weight: ClassWeight = None
    """weights of classes in the losses: balanced (rare ones weigh more), or {fraud: 5}, others 1; null: all 1"""
    splits: Annotated[int, Field(ge=1, le=1000)] = 10
    """divisions into train, validation and test; their test sets are disjoint while the ratios allow it"""
    train_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """share of the examples to train on"""
    val_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """share to choose by; the rest is the test set, which only evaluate reads"""
    rare_classes: Literal["error", "leave_out"] = "error"
    """of classes with too few rows for the splits: error, or leave_out, and the log says which"""
    max_samples: Count | None = None
    """use at most this many examples, each class in proportion; null: all"""
    scaling: Literal["auto", "minmax", "standard", "none"] = "auto"
    """minmax (to [0, 1]), standard (mean 0, std 1; 0 and 1 stay), none; auto: minmax of images, standard of tables"""
    labeled_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the training rows that keep their labels; the others have the teacher's answers only"""
    transfer_classes: Annotated[list[Name], Field(min_length=1)] | None = None
    """classes of the examples that students and baselines train on, such as [7, 8]; null: all"""
    transfer: Transfer | None = None
    """rows without labels for the student: {rows: data/raw/more.csv}, {synthesis: munge, times: 8}, or both"""

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
        if self.weight and not name.endswith(TABLE_SUFFIXES) and ":" not in name:
            raise ValueError(f"weight is a column of a table, and {self.dataset} is none; set null")
        if self.encodings and not name.endswith(TABLE_SUFFIXES) and ":" not in name:
            raise ValueError(f"encodings are of a table, and {self.dataset} is none; leave them {{}}")
        return self

    def column_options(self) -> "ColumnOptions":
        """Return what these keys say about the columns of a table."""
        from kdlib.preparation.column_options import ColumnOptions  # here: other stages depend on no preparation

        return ColumnOptions(self.drop, self.categories, self.missing, self.encodings, self.weight)

    @model_validator(mode="after")
    def _test_split(self):
        if self.train_ratio + self.val_ratio >= 1:
            raise ValueError("train_ratio + val_ratio must be less than 1: the rest is the test split")
        return self


class Training(Section):
    """Keys that `teacher` and `student` have in common."""

    hidden: list[Count] = [32]
    """widths of the hidden layers, any number of them"""
    epochs: Count = 60
    """passes over the training rows"""
    learning_rate: Positive = 0.05
    """step size at the start"""
    batch_size: Count = 64
    """examples in a step"""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """sgd (with momentum), adam or adamw"""
    momentum: BelowOne = 0.9
    """of sgd, in [0, 1)"""
    nesterov: bool = False
    """whether sgd looks ahead by one momentum step"""
    weight_decay: NonNegative = 0.0
    """factor of the L2 penalty's gradient; decoupled with adamw"""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """of the learning rate: constant, linear to zero, or cosine, half a cosine to zero after the warm-up"""
    warmup: BelowOne = 0.0
    """share of the steps in which the learning rate rises from zero; helps with a high T: T² scales the gradient"""
    input_dropout: BelowOne = 0.0
    """probability to drop an input in training, in [0, 1)"""
    dropout: BelowOne = 0.0
    """probability to drop a hidden unit in training, in [0, 1)"""
    max_norm: Positive | None = None
    """greatest L2 norm of a unit's incoming weights; null: no bound"""
    augment: Augment | None = None
    """views of images: {shift: 2}, by up to 2 pixels; {affine: 0.1, elastic: 3.0}, distorted; null: none"""
    patience: Count | None = None
    """stop after this many epochs without lower validation loss; null: never"""
    keep: Literal["best", "last"] | None = None
    """epoch to keep: best (of validation loss) or last; null: last of images and with transfer_classes; else best"""

    def recipe(self) -> "Recipe":
        """Return the recipe of these keys; of several learning rates it has the first."""
        from kdlib.learning.recipe import Recipe  # here: the stage prepare reads params, but depends on no learning

        keys = {key: getattr(self, key) for key in Training.model_fields if key not in ("hidden", "augment")}
        keys |= {"keep": self.keep or "best"}
        keys |= {"learning_rate": self.learning_rate[0]} if isinstance(self.learning_rate, list) else {}
        keys |= {"bits": getattr(self, "bits", None), "views": len(self.augment.to_views()) if self.augment else 1}
        return Recipe(tuple(self.hidden), **keys)


class Teacher(Training):
    """Section `teacher`."""

    model: Source = "mlp"
    """mlp, the network below; a classifier of scikit-learn; lightgbm.LGBMClassifier; or answers, data/raw/my.npz"""
    options: dict[str, Any] | None = None
    """of the classifier, such as {n_estimators: 500}; null: as its class has them"""
    inputs: Literal["features", "raw"] = "features"
    """what a classifier is given: features, numbers as networks have; raw, a DataFrame of the table's columns"""
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    """folds of a classifier: it predicts each training row out of fold"""
    members: Replicas = 5
    """networks in the ensemble; several teach by the mean of their probabilities"""
    hidden: list[Count] = [128]
    epochs: Count = 30
    learning_rate: Positive = 0.2
    dropout: BelowOne = 0.3

    @model_validator(mode="after")
    def _of_a_classifier(self):
        if self.model == "mlp" or self.model.endswith(".npz"):
            if self.options:
                raise ValueError(f"options are of a classifier, and model is {self.model}; set null")
            if self.inputs == "raw":
                raise ValueError(f"inputs: got raw, which is for a classifier, and model is {self.model}; set features")
        return self


class Student(Training):
    """Section `student`."""

    learning_rate: OneOrMany(Positive) = [0.05, 0.1]
    """step size at the start; of several each split chooses one by validation"""
    bits: Bits | None = None
    """train with weights of this many bits, 8, 4 or 2, as deploy.bits; null: floats"""


class Distill(Section):
    """Section `distill`."""

    loss: Literal["kd", "mse", "dkd", "wttm", "dist", "ls"] = "kd"
    """kd (Hinton 2015), dkd (decoupled), mse (logits), wttm, dist (correlations) or ls (label smoothing, no teacher)"""
    temperature: OneOrMany(NumberOrSchedule(Temperature, TemperatureSchedule)) = [4.0]
    """T > 0, softens both softmaxes; or {start: 1, end: 4}, linear by the epoch; or a list to choose from"""
    alpha: OneOrMany(NumberOrSchedule(Fraction, AlphaSchedule)) = [0.9]
    """weight of the teacher in [0, 1]; the labels have 1 - alpha; or {start: 1, end: 0.5}; or a list"""
    scale_by_t2: bool = True
    """multiply the soft part by T², so that alpha means the same at every T"""
    beta: Beta = 8.0
    """dkd: weight of the classes other than the label's"""
    inter_class: Beta = 1.0
    """dist: weight of the correlation over the classes of each example"""
    intra_class: Beta = 1.0
    """dist: weight of the correlation over the batch, for each class; with two classes only this part teaches"""
    smoothing: BelowOne = 0.1
    """ls: probability spread over all classes, in [0, 1)"""
    standardize_logits: bool = False
    """standardize both logits before the softmax at T"""

    def values_to_try(self) -> "dict[str, list[float | LinearSchedule]]":
        """Return all values to try, {name: list} of temperature and alpha."""
        given = {"temperature": self.temperature, "alpha": self.alpha}
        return {
            name: [value.to_schedule() if isinstance(value, Schedule) else value for value in values]
            for name, values in given.items()
        }


class Deploy(Section):
    """Section `deploy`."""

    bits: Bits = 8
    """of the integer student's weights: 8, 4 or 2"""
    calibrate: bool = False
    """divide the logits of what is deployed by a temperature that is fitted on validation rows"""


class Evaluate(Section):
    """Section `evaluate`."""

    verdict: Literal["accuracy", "nll", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision"] = "accuracy"
    """measure of better or worse: accuracy, nll, balanced_accuracy, macro_f1, roc_auc or average_precision"""


class Params(Section):
    """All parameters."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """of all random draws: 0 to 2^32 - 1"""
    arithmetic: Literal["exact", "fast"] = "exact"
    """exact: the same bytes on every machine; fast: float32, repeatable on one machine only"""
    replicas: Replicas = 4
    """baselines and students of each split and setting, trained side by side"""
    checkpoint: Count | None = 5
    """epochs after which a training is saved, to go on there if it is killed; null: never"""
    prepare: Prepare = Prepare()
    teacher: Teacher = Teacher()
    student: Student = Student()
    """the baseline is trained by these too, on the labels only"""
    distill: Distill = Distill()
    deploy: Deploy = Deploy()
    evaluate: Evaluate = Evaluate()
    logging: Logging = Logging()
    """tracked by no stage"""
    execution: Execution = Execution()
    """tracked by no stage, because no byte depends on it"""

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


def recipe_of(params: Params, section: str, image_shape: tuple[int, ...]) -> "Recipe":
    """Return the recipe of the section `teacher` or `student`; of several learning rates it has the first.

    Parameters
    ----------
    params : Params
    section : str
    image_shape : tuple of int
        Of the dataset; () of a table.
    """
    # Validation rows of classes that no student is trained on have the lowest loss before it has learned anything.
    unknown_classes = section == "student" and params.prepare.transfer_classes
    keys = getattr(params, section)
    default = "last" if (image_shape or unknown_classes) and not keys.patience else "best"
    return keys.model_copy(update={"keep": keys.keep or default}).recipe()
