"""The encoding turns columns of a table into features: numbers, dates, truth values, categories, missing values.

It applies what `kdlib.preparation.columns` decided.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property

import numpy as np

from kdlib.data.name_checks import check_name
from kdlib.data.parsing import (
    MAX_MAGNITUDE,
    NOTATIONS,
    PLACEHOLDERS,
    category_parser,
    exact_number,
    known_or_missing,
    parse_any_boolean,
    parse_number,
    parser_for,
)
from kdlib.data.table import Table
from kdlib.io.artifacts import read_json
from kdlib.io.errors import UserError

# Keys of a column in JSON that are always written; others are left out where they are empty.
ALWAYS_WRITTEN = ("name", "kind", "fill", "missing", "categories", "rare")


@dataclass(frozen=True)
class Column:
    """Describe how one column becomes features.

    A cell is matched to a category by its text (in Unicode's normal form C), and else by its number: `4.0` matches `4`.
    For an unknown category all its features are zero. For a missing one only the feature that marks it, if any, is 1.

    Parameters
    ----------
    name : str
    kind : str
        Key of `KINDS`.
    fill : float
        Replaces a missing number, date or truth value.
    missing : bool
        Whether an additional feature marks missing values with 1.
    categories : tuple of str
        Values of a category with one feature each.
    rare : tuple of str
        Values of a category that share one feature.
    notation : str
        Key of `kdlib.data.parsing.NOTATIONS` in which the numbers or dates are written; "" is the plain notation.
    missing_texts : tuple of str
        Texts that mark a missing value, in addition to `kdlib.data.parsing.MISSING_TEXTS`.
    """

    name: str
    kind: str
    fill: float = 0.0
    missing: bool = False
    categories: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    notation: str = ""
    missing_texts: tuple[str, ...] = ()

    @property
    def feature_names(self) -> list[str]:
        """Names of the features that the column becomes, in their order."""
        names = KINDS[self.kind].value_names(self)
        return names + ([f"{self.name} is missing"] if self.missing else [])

    @cached_property
    def missing_numbers(self) -> set:
        """Numbers that mark a missing value, as `Kind.number_of` returns them."""
        return {KINDS[self.kind].number_of(text) for text in self.missing_texts} - {None}

    def parser(self, plain: bool = False) -> Callable[[str], float | None]:
        """Return the function that parses a cell's text.

        Parameters
        ----------
        plain : bool
            If true, ignore the column's notation and read plain numbers.

        Returns
        -------
        function of str
            What it returns for a cell, by the column's kind:

            ================= ======================= ================================
            cell              number, date, boolean   category
            ================= ======================= ================================
            has a value       the number              index of the value's feature
            does not fit      None                    -1 (the value has no feature)
            missing           NaN                     NaN
            ================= ======================= ================================
        """
        return KINDS[self.kind].parser(self, plain)

    def values(self, table: Table) -> np.ndarray:
        """Parse the column of a table.

        Parameters
        ----------
        table : Table
            n rows.

        Returns
        -------
        float64, shape (n,)
            For each cell what `parser` returns: a number or the index of a feature, NaN where the value is missing.

        Raises
        ------
        UserError
            If the table lacks the column, if a cell is not of the column's kind or has a magnitude above MAX_MAGNITUDE,
            or if the column was fitted with a notation, and this table mixes numbers and texts in it.
        """
        kind = KINDS[self.kind]
        plain = kind.is_numeric and (not self.notation or table.is_numeric(self.name))
        if kind.is_numeric and not plain and self.name in table.mixed_columns:
            reason = f"has numbers and texts, which are such as {self.notation}; give all as numbers"
            raise UserError(f"{table.path}: column {self.name} {reason}")
        quick = table.numbers(self.name) if plain and not self.missing_texts else None
        if quick is not None and (np.abs(quick) <= MAX_MAGNITUDE).all():
            return quick
        cells = table.cells(self.name)
        value_of_text = {}
        parse = self.parser(plain)
        for text in dict.fromkeys(cells):
            value = parse(text)
            value_of_text[text] = value
            if value is None or abs(value) > MAX_MAGNITUDE:
                where = table.where(cells.index(text), self.name)
                reason = _reason(kind, text, value, "" if plain else self.notation)
                raise UserError(f"{where}: {text[:40]!a} is no {kind.cells}{reason}")
        return np.fromiter(map(value_of_text.__getitem__, cells), np.float64, len(cells))

    def write_features(self, table: Table, out: np.ndarray) -> tuple[int, int]:
        """Write the features into `out`, (n, features); return the numbers of unseen and of missing cells.

        Cells with a category that has no feature are unseen. Raises UserError as `values` does.
        """
        values = self.values(table)
        missing = np.isnan(values)
        kind = KINDS[self.kind]
        out[:, : out.shape[1] - self.missing] = kind.features(self, values)
        if self.missing:
            out[:, -1] = missing
        unseen = 0 if kind.cells else np.count_nonzero(values == -1)
        return unseen, np.count_nonzero(missing)


def _reason(kind, text, value, notation):
    """Return why a cell is refused and how to write it."""
    if value is not None:
        return f" of at most {MAX_MAGNITUDE:g}"
    if notation:
        return f" such as {notation}, as the column's were where the encoding was fitted; write it so"
    return kind.remedy(text)


class Kind:
    """Describe what is specific to a kind of columns.

    The defaults are those of cells that are parsed to one number each, which is the column's only feature.

    Attributes
    ----------
    cells : str or None
        What each cell has to be: key of `kdlib.data.parsing.PARSERS`. None if it may be any text;
        then -1 is the value of a text that has no feature.
    is_numeric : bool
        Whether the source may hold the cells as numbers, which are then read without their texts.
    may_count_rows : bool
        Whether a column that rises or falls with every row is worth a warning.
    fields : tuple of str
        Names of the attributes of `Column` that only this kind uses; if there are any, at least one is not empty.
    hint : str
        How to write a cell that was refused: the end of a message.
    """

    cells: str | None = None
    is_numeric = False
    may_count_rows = False
    fields: tuple[str, ...] = ()
    hint = ""

    def value_names(self, column: Column) -> list[str]:
        """Return the names of the features, without the one that marks missing values."""
        return [column.name]

    @staticmethod
    def number_of(text: str) -> object:
        """Return the number that a mark of missing values, such as `-999`, stands for; here None.

        A subclass that returns a number makes cells with this number in another spelling missing too.
        """
        return None

    def parser(self, column: Column, plain: bool) -> Callable[[str], float | None]:
        """Return what `Column.parser` returns."""
        parse = self.parser_in("" if plain else column.notation)
        return known_or_missing(parse, PLACEHOLDERS.union(column.missing_texts), column.missing_numbers)

    def parser_in(self, notation: str) -> Callable[[str], float | None]:
        """Return the parser of cells in a notation."""
        return parser_for(self.cells, notation)

    def features(self, column: Column, values: np.ndarray) -> np.ndarray:
        """Return the features of n parsed cells, shape (n, features), without the one that marks missing values."""
        return np.where(np.isnan(values), column.fill, values)[:, None]

    def is_valid(self, column: Column) -> bool:
        """Return whether the lists named in `fields` are valid; they come from a file and may hold anything."""
        return True

    def remedy(self, text: str) -> str:
        """Return how to write a cell that was refused, as the end of a message."""
        return self.hint


class Number(Kind):
    """Numbers."""

    cells = "number"
    is_numeric = True
    may_count_rows = True
    number_of = staticmethod(parse_number)

    def remedy(self, text: str) -> str:
        found = {parser_for(self.cells, name)(text) for name in NOTATIONS[self.cells]} - {None}
        return f"; write it as {' or '.join(f'{value:.15g}' for value in sorted(found))}" if found else ""


class Date(Kind):
    """Dates, in days since 1970-01-01 UTC."""

    cells = "date"
    may_count_rows = True
    hint = "; write it as 2024-12-31"


class Boolean(Kind):
    """Truth values, 0 or 1."""

    cells = "boolean"
    hint = "; write true or false"

    def parser_in(self, notation: str) -> Callable[[str], float | None]:
        return parse_any_boolean


class Category(Kind):
    """Categories, one-hot. The value of a cell is the index of its feature, -1 if it has none."""

    fields = ("categories", "rare")
    number_of = staticmethod(exact_number)

    def value_names(self, column: Column) -> list[str]:
        names = [f"{column.name}={value}" for value in column.categories]
        return names + ([f"{column.name} is rare"] if column.rare else [])

    def parser(self, column: Column, plain: bool) -> Callable[[str], float | None]:
        return category_parser(column.categories, column.rare, column.missing_texts, column.missing_numbers)

    def features(self, column: Column, values: np.ndarray) -> np.ndarray:
        return values[:, None] == np.arange(len(self.value_names(column)))

    def is_valid(self, column: Column) -> bool:
        values = {*column.categories, *column.rare}
        distinct = len(values) == len(column.categories) + len(column.rare)
        return distinct and not values.intersection(column.missing_texts)


KINDS: dict[str, Kind] = {
    "number": Number(),
    "date": Date(),
    "boolean": Boolean(),
    "category": Category(),
}
ENCODINGS = ("category", "number")  # the kinds that a user may ask for, in `prepare.encodings`


@dataclass(frozen=True)
class Encoding:
    """Describe how a table becomes features. `kdlib.preparation.columns.fit_encoding` makes it.

    Parameters
    ----------
    columns : tuple of Column
        In the order of their features.
    """

    columns: tuple[Column, ...]

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of all features, in their order."""
        return [name for column in self.columns for name in column.feature_names]

    def encode(self, table: Table, unknown: dict[str, tuple[int, int]] | None = None) -> np.ndarray:
        """Return the features of a table. Columns are found by name; other columns are not read.

        Parameters
        ----------
        table : Table
            n rows.
        unknown : dict, optional
            Receives {column: (unseen, missing)}: the number of cells with a category that has no feature, and
            of cells without a value. Columns without such cells are not in it.

        Returns
        -------
        float64, shape (n, features)
            Finite numbers.

        Raises
        ------
        UserError
            If the table lacks a column, or a cell is not of its column's kind.
        """
        out = np.empty((len(table), len(self.feature_names)))
        start = 0
        for column in self.columns:
            width = len(column.feature_names)
            counts = column.write_features(table, out[:, start : start + width])
            if unknown is not None and any(counts):
                unknown[column.name] = counts
            start += width
        return out

    def to_json(self) -> str:
        """Return the encoding as JSON.

        Returns
        -------
        str
            The same ASCII text for the same encoding. Its floats give back every bit.
        """
        entries = [asdict(column) for column in self.columns]
        for entry in entries:  # empty ones are left out: the bytes are those of a file without these keys
            for key in [key for key in entry if not (key in ALWAYS_WRITTEN or entry[key])]:
                del entry[key]
        return json.dumps(entries, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Encoding":
        """Read what `to_json` wrote.

        Raises
        ------
        UserError
            If the text does not describe an encoding.
        """
        try:
            columns = tuple(_column(entry) for entry in read_json(text))
            if not columns or len({column.name for column in columns}) != len(columns):
                raise ValueError("it has no columns, or two of one name")
        except (TypeError, ValueError) as error:
            raise UserError(f"not an encoding of a table ({str(error)[:100]})") from None
        return cls(columns)


def _column(entry):
    """Return the `Column` that a dict describes, or raise TypeError or ValueError."""
    column = Column(**entry)
    for name in (column.name, *column.categories, *column.rare, *column.missing_texts):
        if type(name) is not str:
            raise TypeError(f"got {name!a} as a name")
        check_name("a name", name)
    kind = KINDS.get(column.kind)
    if not (kind and _has_valid_fields(column, kind)):
        raise ValueError(f"the column {column.name!a} is not what it has to be")
    return replace(column, **{key: tuple(getattr(column, key)) for key in _LISTS})


_LISTS = [field.name for field in fields(Column) if field.default == ()]  # in JSON; here they are tuples


def _has_valid_fields(column, kind):
    """Return whether a column that was read from JSON has the fields of its kind and no others."""
    scalars = type(column.fill) is float and abs(column.fill) <= MAX_MAGNITUDE and type(column.missing) is bool
    known_notation = column.notation == "" or column.notation in NOTATIONS.get(kind.cells, ())
    given = {key: getattr(column, key) for key in _LISTS}
    lists = all(type(value) is list or (value == () and key not in ALWAYS_WRITTEN) for key, value in given.items())
    if not (scalars and known_notation and lists):
        return False
    used = {key for key, value in given.items() if value} - {"missing_texts"}
    return bool(used) == bool(kind.fields) and used.issubset(kind.fields) and kind.is_valid(column)
