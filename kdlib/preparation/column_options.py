"""What a user says about the columns of a table."""

from dataclasses import dataclass, field

from kdlib.data.encoding import ENCODINGS
from kdlib.data.parsing import nfc
from kdlib.io.errors import UserError


@dataclass(frozen=True)
class ColumnOptions:
    """Hold what a user says about the columns of a table. All texts become those of Unicode's normal form C.

    Parameters
    ----------
    drop : sequence of str
        Columns to leave out.
    categories : sequence of str
        Columns that are categories even if they hold numbers.
    missing : sequence of str
        Texts that mark a missing value, in addition to `kdlib.data.parsing.MISSING_TEXTS`.
    encodings : dict of str to str
        {column: one of `kdlib.data.encoding.ENCODINGS`}. "category" is the same as a name in `categories`.
    weight : str, optional
        Column of the rows' weights, which is no feature.

    Raises
    ------
    UserError
        If an encoding does not exist, if a column has two, or if the column of weights is named elsewhere.
    """

    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    encodings: dict[str, str] = field(default_factory=dict)
    weight: str | None = None

    def __post_init__(self):
        for key in ("drop", "categories", "missing"):
            object.__setattr__(self, key, tuple(map(nfc, getattr(self, key))))
        object.__setattr__(self, "encodings", {nfc(name): asked for name, asked in self.encodings.items()})
        object.__setattr__(self, "weight", self.weight and nfc(self.weight))
        for key in ("drop", "categories", "encodings"):
            if self.weight in getattr(self, key):
                raise UserError(f"prepare.weight: got {self.weight!r}, which prepare.{key} names, too; name it in one")
        for name, asked in self.encodings.items():
            if asked not in ENCODINGS:
                raise UserError(f"prepare.encodings.{name}: got {asked!r}; allowed are {', '.join(ENCODINGS)}")
            if name in self.categories and asked != "category":
                raise UserError(f"prepare.encodings.{name}: got {asked!r}, but prepare.categories names {name}, too")
