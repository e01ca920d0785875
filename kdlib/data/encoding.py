"""The encoding turns columns of a table into features: numbers, dates, truth values, categories, missing values.

It applies what `kdlib.preparation.columns` decided.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from kdlib.data.name_checks import check_name
from kdlib.data.parsing import (
    MAX_MAGNITUDE,
    MISSING_TEXTS,
    NOTATIONS,
    PARSERS,
    PLACEHOLDERS,
    exact_number,
    nfc,
    parse_any_boolean,
    parse_number,
    parse_numbers,
    parser_for,
)
from kdlib.data.table import Table
from kdlib.io.artifacts import read_json
from kdlib.io.errors import UserError

KINDS = (*PARSERS, "category")


@dataclass(frozen=True)
class Column:
    """Describe how one column becomes features.

    A cell is matched to a category by its text (in Unicode's normal form C), and else by its number: `4.0` matches `4`.
    An unknown or missing category is all zeros.

    Parameters
    ----------
    name : str
    kind : {"number", "date", "boolean", "category"}
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
        names = [f"{self.name}={value}" for value in self.categories] if self.kind == "category" else [self.name]
        names += [f"{self.name} is rare"] if self.rare else []
        return names + ([f"{self.name} is missing"] if self.missing else [])

    @cached_property
    def _missing_numbers(self):
        parse = {"number": parse_number, "category": exact_number}.get(self.kind)
        return {parse(text) for text in self.missing_texts if parse} - {None}

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
        missing = MISSING_TEXTS.union(self.missing_texts)
        if self.kind == "category":
            indices = self._feature_indices()

            def feature_index(text):
                if text in indices:
                    return indices[text]
                value = exact_number(text)
                return math.nan if text in missing or value in self._missing_numbers else indices.get(value, -1)

            return feature_index
        missing |= PLACEHOLDERS
        parse = parse_any_boolean if self.kind == "boolean" else parser_for(self.kind, "" if plain else self.notation)

        def parsed_value(text):
            value = math.nan if text in missing else parse(text)
            return math.nan if value in self._missing_numbers else value

        return parsed_value

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
        plain = self.kind == "number" and (not self.notation or table.is_numeric(self.name))
        if self.kind == "number" and not plain and self.name in table.mixed_columns:
            reason = f"has numbers and texts, which are such as {self.notation}; give all as numbers"
            raise UserError(f"{table.path}: column {self.name} {reason}")
        quick = as_numbers(table, self.name) if plain and not self.missing_texts else None
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
                reason = _reason(self.kind, text, value, "" if plain else self.notation)
                raise UserError(f"{where}: {text[:40]!a} is no {self.kind}{reason}")
        return np.fromiter(map(value_of_text.__getitem__, cells), np.float64, len(cells))

    def _feature_indices(self):
        """Return {text or number: index of its feature}; if two values are the same number, the shorter text has it."""
        index_of_text = {value: k for k, value in enumerate(self.categories)}
        index_of_text |= dict.fromkeys(self.rare, len(self.categories))
        longest_first = sorted(index_of_text, key=len, reverse=True)
        indices = {exact_number(value): index_of_text[value] for value in longest_first}
        indices.pop(None, None)
        return indices | {nfc(value): k for value, k in index_of_text.items()}

    def encode(self, table: Table, out: np.ndarray) -> tuple[int, int]:
        """Write the column's features into an array.

        Parameters
        ----------
        table : Table
            n rows.
        out : array, shape (n, features)
            Is overwritten.

        Returns
        -------
        unseen : int
            Number of cells with a category that has no feature.
        missing : int
            Number of cells without a value.

        Raises
        ------
        UserError
            As `values` does.
        """
        values = self.values(table)
        missing = np.isnan(values)
        if self.kind == "category":
            value_features = out.shape[1] - self.missing
            out[:, :value_features] = values[:, None] == np.arange(value_features)
        else:
            out[:, 0] = np.where(missing, self.fill, values)
        if self.missing:
            out[:, -1] = missing
        unseen = np.count_nonzero(values == -1) if self.kind == "category" else 0
        return unseen, np.count_nonzero(missing)


def as_numbers(table: Table, name: str) -> np.ndarray | None:
    """Return a column as float64, shape (n,), without -0.0; None if a cell is not a number."""
    if name not in table.arrays:
        return parse_numbers(table.cells(name))
    values = table.arrays[name]().astype(np.float64) + 0.0
    return None if np.isnan(values).any() else values


def _reason(kind, text, value, notation):
    """Return why a cell is refused and how to write it."""
    if value is not None:
        return f" of at most {MAX_MAGNITUDE:g}"
    if notation:
        return f" such as {notation}, as the column's were where the encoding was fitted; write it so"
    if kind == "number":
        found = {parser_for(kind, name)(text) for name in NOTATIONS[kind]} - {None}
        return f"; write it as {' or '.join(f'{value:.15g}' for value in sorted(found))}" if found else ""
    return "; write it as 2024-12-31" if kind == "date" else "; write true or false"


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
            Receives {column: (unseen, missing)}: the number of cells with a category that training has not seen, and
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
            counts = column.encode(table, out[:, start : start + width])
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
            for key in [key for key in ("notation", "missing_texts") if not entry[key]]:
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
    values = [*column.categories, *column.rare]
    for name in (column.name, *values, *column.missing_texts):
        if type(name) is not str:
            raise TypeError(f"got {name!a} as a name")
        check_name("a name", name)
    lists = type(column.categories) is list and type(column.rare) is list and len(set(values)) == len(values)
    lists &= type(column.missing_texts) in (list, tuple) and not set(values) & set(column.missing_texts)
    known_notation = column.notation == "" or column.notation in NOTATIONS.get(column.kind, ())
    scalars = type(column.fill) is float and abs(column.fill) <= MAX_MAGNITUDE and type(column.missing) is bool
    values_fit = bool(values) == (column.kind == "category")
    if not (lists and scalars and known_notation and column.kind in KINDS and values_fit):
        raise ValueError(f"the column {column.name!a} is not what it has to be")
    tuples = {key: tuple(getattr(column, key)) for key in ("categories", "rare", "missing_texts")}
    return replace(column, **tuples)


def is_encoding_of(text: str, feature_names: list[str]) -> bool:
    """Return whether a text is the JSON of an encoding with exactly these features, or is empty."""
    try:
        return not text or Encoding.from_json(text).feature_names == feature_names
    except UserError:
        return False
