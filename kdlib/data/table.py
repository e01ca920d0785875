"""A table as its source has it: named columns of texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kdlib.data.name_checks import check_name, listed
from kdlib.data.parsing import nfc
from kdlib.io.errors import UserError


@dataclass(frozen=True)
class Table:
    """n rows in the order of their source.

    path: what messages name. columns: {name: function that gives its n cells, texts without blanks around them, ""
    where there is no value}: one column at a time is a list of texts, of 60 bytes each. numbers: (n,) of the rows, from
    1, for messages; in a CSV these are its lines. declared: columns that the source says are categories. notes: what
    was found in reading, for the log. arrays: {name: function that gives the n numbers that the cells are, as an
    array}, of columns in which all are. numeric: columns whose cells are numbers of the source's own type, or "": their
    texts are plain, however a column of texts was written. mixed: columns of such numbers and texts. decimal: the
    decimal mark that the table's delimiter speaks for, or "". batches: None, or a function of column names to the
    tables of some of the rows each, in their order, where all are more than memory.
    """

    path: str
    columns: dict[str, Callable]
    numbers: Sequence
    declared: frozenset = frozenset()
    notes: tuple = ()
    arrays: dict[str, Callable] = field(default_factory=dict)
    batches: Callable | None = None
    numeric: frozenset = frozenset()
    mixed: frozenset = frozenset()
    decimal: str = ""

    def __post_init__(self):
        if not len(self.numbers):
            raise UserError(f"{self.path}: has no rows")

    def __len__(self):
        return len(self.numbers)

    def cells(self, name):
        """The list of n texts in NFC. Raises UserError if there is no such column."""
        if nfc(name) not in self.columns:
            raise UserError(f"{self.path}: lacks the column {name!a}; its columns are {listed(self.columns)}")
        return list(map(nfc, self.columns[nfc(name)]()))

    def is_numeric(self, name):
        """Whether the source itself has numbers in the column, not texts."""
        return name in self.numeric or name in self.arrays

    def blocks(self, names):
        """Tables of some of the rows each, in their order, which have the columns of these names."""
        return self.batches(list(map(nfc, names))) if self.batches else [self]

    def find(self, name, text):
        """The index of the first cell of a column that is this text."""
        start = 0
        for block in self.blocks([name]):
            cells = block.cells(name)
            if text in cells:
                return start + cells.index(text)
            start += len(block)
        raise ValueError(f"no cell of {name} is {text!r}")

    def where(self, index, name):
        """The beginning of a message about one cell."""
        return f"{self.path}: row {self.numbers[index]}, column {name}"


def column_names(path, names):
    """The names in NFC, without blanks around them; one that is empty becomes `column 1`, as it counts from 1.

    Raises UserError if two are equal, or one has no place in a file.
    """
    names = [nfc(name.strip()) or f"column {k}" for k, name in enumerate(names, 1)]
    seen = set()
    for name in names:
        check_name(f"{path}: a column", name)
        if name in seen:
            raise UserError(f"{path}: two columns are named {name!a}; rename one")
        seen.add(name)
    return names
