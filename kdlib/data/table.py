"""A table before it is encoded: named columns of texts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kdlib.data.name_checks import check_name, join_names
from kdlib.data.parsing import nfc, parse_numbers
from kdlib.io.errors import UserError


@dataclass(frozen=True)
class Table:
    """Hold n rows in the order of their source.

    Columns are functions, so that one column at a time is in memory: as Python texts all columns would take about 60
    bytes a cell.

    Parameters
    ----------
    path : str
        Name of the table in messages.
    columns : dict of str to function
        {name: function that returns the column's n cells}. A cell is a text without blanks around it; a cell without
        a value is "".
    row_numbers : sequence of int, length n
        Numbers of the rows from 1, for messages; line numbers in a CSV.
    declared_categories : frozenset of str
        Columns that the source itself declares as categories.
    notes : tuple of str
        Remarks of the reader, for the log.
    arrays : dict of str to function
        {name: function that returns the column as an array (n,) of numbers}, for columns of integers, and of floats
        where NaN is a missing value.
    read_batches : function or None
        If the table is larger than memory: a function of column names that returns tables of some rows each, in the
        order of the rows.
    numeric_columns : frozenset of str
        Columns that the source stores as numbers, not as texts; cells may be missing. Their texts are plain
        numbers; the notation of the column's encoding does not apply to them.
    mixed_columns : frozenset of str
        Columns that hold both numbers of the source's own type, and texts.
    decimal_mark : str
        Decimal mark that the table's delimiter suggests, or "".

    Raises
    ------
    UserError
        If there are no rows.
    """

    path: str
    columns: dict[str, Callable[[], list[str]]]
    row_numbers: Sequence[int]
    declared_categories: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    arrays: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    read_batches: Callable[[list[str]], Iterable["Table"]] | None = None
    numeric_columns: frozenset[str] = frozenset()
    mixed_columns: frozenset[str] = frozenset()
    decimal_mark: str = ""

    def __post_init__(self):
        if not len(self.row_numbers):
            raise UserError(f"{self.path}: has no rows")

    def __len__(self) -> int:
        return len(self.row_numbers)

    def cells(self, name: str) -> list[str]:
        """Return the n texts of a column in Unicode's normal form C.

        Raises
        ------
        UserError
            If there is no such column.
        """
        if nfc(name) not in self.columns:
            raise UserError(f"{self.path}: lacks the column {name!a}; its columns are {join_names(self.columns)}")
        return list(map(nfc, self.columns[nfc(name)]()))

    def is_numeric(self, name: str) -> bool:
        """Return whether the source itself holds numbers in the column, not texts."""
        return name in self.numeric_columns or name in self.arrays

    def numbers(self, name: str) -> np.ndarray | None:
        """Return a column as float64, shape (n,), without -0.0; None if a cell is not a number."""
        if name not in self.arrays:
            return parse_numbers(self.cells(name))
        values = self.arrays[name]().astype(np.float64) + 0.0
        return None if np.isnan(values).any() else values

    def batches(self, names: Iterable[str]) -> Iterable["Table"]:
        """Return tables of some rows each, in the order of the rows, with the columns of these names."""
        return self.read_batches(list(map(nfc, names))) if self.read_batches else [self]

    def find(self, name: str, text: str) -> int:
        """Return the index of the first cell of a column that equals the text.

        Raises
        ------
        ValueError
            If no cell equals it.
        """
        start = 0
        for batch in self.batches([name]):
            cells = batch.cells(name)
            if text in cells:
                return start + cells.index(text)
            start += len(batch)
        raise ValueError(f"no cell of {name} is {text!r}")

    def where(self, index: int, name: str) -> str:
        """Return "path: row N, column NAME" for a message; the index counts from 0."""
        return f"{self.path}: row {self.row_numbers[index]}, column {name}"


def column_names(path: Path | str, names: Iterable[str]) -> list[str]:
    """Normalise and check the names of a table's columns.

    Parameters
    ----------
    path : str or Path
        Name of the table in messages.
    names : iterable of str
        Names as the source has them.

    Returns
    -------
    list of str
        The names in Unicode's normal form C, without blanks around them. An empty name becomes ``column 1``, with the
        number of the column, counted from 1.

    Raises
    ------
    UserError
        If two names are equal, or `kdlib.data.name_checks.check_name` refuses one.
    """
    names = [nfc(name.strip()) or f"column {k}" for k, name in enumerate(names, 1)]
    seen = set()
    for name in names:
        check_name(f"{path}: a column", name)
        if name in seen:
            raise UserError(f"{path}: two columns are named {name!a}; rename one")
        seen.add(name)
    return names
