"""Predict the rows of a file, and write classes and probabilities to a CSV file."""

from pathlib import Path

from kdlib.data.readers import read_table
from kdlib.data.table import Table
from kdlib.deployment.features import features, lines
from kdlib.deployment.model_file import load
from kdlib.io.artifacts import read_npz, write_csv
from kdlib.io.atomic import check_distinct, file_lock
from kdlib.io.errors import UserError


def predict(model: Path | str, rows: Path | str, output: Path | str) -> tuple[int, list[str]]:
    """Write the class, its confidence (the largest probability) and all probabilities of each row.

    Parameters
    ----------
    model : Path or str
        Path of a deployed network.
    rows : Path or str
        Path of a table that `kdlib.data.readers.read_table` reads, or of an .npz with the array `x`.
    output : Path or str
        Path of the .csv to write. No other process may write it at the same time.

    Returns
    -------
    count : int
        The number of rows.
    lines : list of str
        First the notes of the table's reader: parts of the file that it left out or did not read literally. Then one
        line for each column with cells that are missing or were not seen in training, see
        `kdlib.deployment.features.lines`.

    Raises
    ------
    UserError
        If a file is missing or damaged, or if the rows do not fit the network.
    """
    if not str(output).endswith(".csv"):
        raise UserError(f"--output: got {str(output)!r}; needs a path that ends with .csv")
    check_distinct({"MODEL": model, "ROWS": rows, "--output": output})
    with file_lock(output):
        return _predict(load(model), str(rows), output)


def _predict(deployed, rows, output):
    if not Path(rows).is_file():
        raise UserError(f"{rows}: not found; needs rows in a table, such as a .csv or .parquet, or in an .npz")
    x = read_npz(rows, ["x"], from_user=True)["x"] if rows.lower().endswith(".npz") else read_table(rows)
    try:
        encoded, unknown = features(x, deployed.card)
        probabilities = deployed.predict_proba(encoded).tolist()
    except UserError as error:
        raise error if str(error).startswith(rows) else UserError(f"{rows}: {error}") from None
    if not probabilities:
        raise UserError(f"{rows}: has no rows")
    classes = deployed.card.classes
    csv_rows = []
    for row in probabilities:
        best = row.index(max(row))
        by_class = {f"probability of {name}": value for name, value in zip(classes, row, strict=True)}
        csv_rows.append({"class": classes[best], "confidence": row[best]} | by_class)
    write_csv(output, csv_rows)
    notes = x.notes if isinstance(x, Table) else ()
    return len(csv_rows), [*notes, *lines(unknown, len(csv_rows))]
