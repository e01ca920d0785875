"""How the columns of a raw table become features: numbers, dates, truth values, categories, and what is missing."""

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from kdlib.data.name_checks import check_name
from kdlib.data.parsing import (
    LARGEST,
    MISSING,
    NOTATIONS,
    PARSERS,
    PLACEHOLDERS,
    any_truth,
    exact_number,
    nfc,
    number,
    numbers,
    parser,
)
from kdlib.io.artifacts import read_json
from kdlib.io.errors import UserError

KINDS = (*PARSERS, "category")


@dataclass(frozen=True)
class Column:
    """One column. kind: of KINDS. missing: whether a feature of its own says that the value is missing.

    fill: what stands where a number, date or truth value is missing. categories: values that have a feature each. rare:
    values that share one. A cell is the value of its text (in NFC), else that of its number: `4.0` is `4`. Any other
    value of a category, or a missing one, is zeros. notation: of NOTATIONS, how the numbers or dates are written, or
    "". missing_texts: what says that a value is missing, besides MISSING.
    """

    name: str
    kind: str
    fill: float = 0.0
    missing: bool = False
    categories: tuple = ()
    rare: tuple = ()
    notation: str = ""
    missing_texts: tuple = ()

    @property
    def feature_names(self):
        names = [f"{self.name}={value}" for value in self.categories] if self.kind == "category" else [self.name]
        names += [f"{self.name} is rare"] if self.rare else []
        return names + ([f"{self.name} is missing"] if self.missing else [])

    @cached_property
    def _missing_numbers(self):
        read = {"number": number, "category": exact_number}.get(self.kind)
        return {read(text) for text in self.missing_texts if read} - {None}

    def parser(self, plain=False):
        """Function of a cell's text to the number that it is: NaN if it is missing, None if it is not of this kind.

        Of a category it is the place of its feature, -1 if it has none. plain: numbers are not in the `notation`.
        """
        missing = MISSING.union(self.missing_texts)
        if self.kind == "category":
            places = self._places()

            def place(text):
                if text in places:
                    return places[text]
                value = exact_number(text)
                return math.nan if text in missing or value in self._missing_numbers else places.get(value, -1)

            return place
        missing |= PLACEHOLDERS
        parse = any_truth if self.kind == "boolean" else parser(self.kind, "" if plain else self.notation)

        def value(text):
            found = math.nan if text in missing else parse(text)
            return math.nan if found in self._missing_numbers else found

        return value

    def values(self, table):
        """(n,) float64: the numbers, or the place of the value's feature, -1 if it has none; NaN where missing."""
        plain = self.kind == "number" and (not self.notation or table.is_numeric(self.name))
        if self.kind == "number" and not plain and self.name in table.mixed:
            reason = f"has numbers and texts, which are such as {self.notation}; give all as numbers"
            raise UserError(f"{table.path}: column {self.name} {reason}")
        quick = as_numbers(table, self.name) if plain and not self.missing_texts else None
        if quick is not None and (np.abs(quick) <= LARGEST).all():
            return quick
        cells, known, parse = table.cells(self.name), {}, self.parser(plain)
        for text in dict.fromkeys(cells):
            known[text] = value = parse(text)
            if value is None or abs(value) > LARGEST:
                where = table.where(cells.index(text), self.name)
                reason = _reason(self.kind, text, value, "" if plain else self.notation)
                raise UserError(f"{where}: {text[:40]!a} is no {self.kind}{reason}")
        return np.fromiter(map(known.__getitem__, cells), np.float64, len(cells))

    def _places(self):
        """{text or number: its feature}; of two values that are the same number, the number is the shorter one's."""
        of_text = {value: k for k, value in enumerate(self.categories)}
        of_text |= dict.fromkeys(self.rare, len(self.categories))
        places = {exact_number(value): of_text[value] for value in sorted(of_text, key=len, reverse=True)}
        places.pop(None, None)
        return places | {nfc(value): k for value, k in of_text.items()}

    def encode(self, table, out):
        """Write its features to `out`, (n, features). Return how many cells are (unseen, missing)."""
        values = self.values(table)
        missing = np.isnan(values)
        if self.kind == "category":
            shown = out.shape[1] - self.missing
            out[:, :shown] = values[:, None] == np.arange(shown)
        else:
            out[:, 0] = np.where(missing, self.fill, values)
        if self.missing:
            out[:, -1] = missing
        unseen = np.count_nonzero(values == -1) if self.kind == "category" else 0
        return unseen, np.count_nonzero(missing)


def as_numbers(table, name):
    """(n,) float64, as `kdlib.data.parsing.numbers` gives of a column's cells, or None."""
    if name not in table.arrays:
        return numbers(table.cells(name))
    values = table.arrays[name]().astype(np.float64) + 0.0
    return None if np.isnan(values).any() else values


def _reason(kind, text, value, notation):
    """Why a cell, as it was parsed, is none of its column's values, and what would be one."""
    if value is not None:
        return f" of at most {LARGEST:g}"
    if notation:
        return f" such as {notation}, as the column's were where the encoding was fitted; write it so"
    if kind == "number":
        found = {parser(kind, name)(text) for name in NOTATIONS[kind]} - {None}
        return f"; write it as {' or '.join(f'{value:.15g}' for value in sorted(found))}" if found else ""
    return "; write it as 2024-12-31" if kind == "date" else "; write true or false"


@dataclass(frozen=True)
class Encoding:
    """The columns that become features, in their order. Made by `kdlib.preparation.columns.fit`."""

    columns: tuple

    @cached_property
    def feature_names(self):
        return [name for column in self.columns for name in column.feature_names]

    def encode(self, table, unknown=None):
        """Return the features of a table. Columns are found by name, and others than these are not read.

        Parameters
        ----------
        table : kdlib.data.table.Table
            Of n rows.
        unknown : dict, optional
            Gets {name: (unseen, missing)} of each column with cells that are a category which training has not seen, or
            that have no value.

        Returns
        -------
        (n, features) float64, finite

        Raises
        ------
        UserError
            For a column that is not there, and for a cell that is not of its column's kind.
        """
        out, at = np.empty((len(table), len(self.feature_names))), 0
        for column in self.columns:
            width = len(column.feature_names)
            counts = column.encode(table, out[:, at : at + width])
            if unknown is not None and any(counts):
                unknown[column.name] = counts
            at += width
        return out

    def to_json(self):
        """The same text for the same encoding, ASCII alone; floats are written so that they come back bit for bit."""
        entries = [asdict(column) for column in self.columns]
        for entry in entries:  # what is plain stays out: a file keeps the bytes that it had before there were notations
            for key in [key for key in ("notation", "missing_texts") if not entry[key]]:
                del entry[key]
        return json.dumps(entries, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text):
        """Raises UserError if the text is not an encoding's."""
        try:
            columns = tuple(_column(entry) for entry in read_json(text))
            if not columns or len({column.name for column in columns}) != len(columns):
                raise ValueError("it has no columns, or two of one name")
        except (TypeError, ValueError) as error:
            raise UserError(f"not an encoding of a table ({str(error)[:100]})") from None
        return cls(columns)


def _column(entry):
    """`Column` of a dict. Raises TypeError or ValueError if it is none."""
    column = Column(**entry)
    values = [*column.categories, *column.rare]
    for name in (column.name, *values, *column.missing_texts):
        if type(name) is not str:
            raise TypeError(f"got {name!a} as a name")
        check_name("a name", name)
    lists = type(column.categories) is list and type(column.rare) is list and len(set(values)) == len(values)
    lists &= type(column.missing_texts) in (list, tuple) and not set(values) & set(column.missing_texts)
    written = column.notation == "" or column.notation in NOTATIONS.get(column.kind, ())
    plain = type(column.fill) is float and abs(column.fill) <= LARGEST and type(column.missing) is bool
    if not (lists and plain and written and column.kind in KINDS and bool(values) == (column.kind == "category")):
        raise ValueError(f"the column {column.name!a} is not what it has to be")
    named = {key: tuple(getattr(column, key)) for key in ("categories", "rare", "missing_texts")}
    return replace(column, **named)


def encodes(text, feature_names):
    """Whether it is the JSON of an encoding with these features, or ""."""
    try:
        return not text or Encoding.from_json(text).feature_names == feature_names
    except UserError:
        return False
