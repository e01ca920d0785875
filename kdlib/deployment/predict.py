"""Rows of a file in, a CSV of classes and probabilities out."""

from pathlib import Path

from kdlib.data.readers import read_table
from kdlib.data.table import Table
from kdlib.deployment.features import features, lines
from kdlib.deployment.model_file import load
from kdlib.io.artifacts import read_npz, write_csv
from kdlib.io.atomic import apart, exclusive
from kdlib.io.errors import UserError


def predict(model, rows, output):
    """Write class, confidence (the largest probability) and probabilities of each of the rows.

    Parameters
    ----------
    model : str
        Path of a deployed network.
    rows : str
        Path of a table as `kdlib.data.readers.read_table` takes it, or of an .npz with the array `x`.
    output : str
        Path of a .csv, which no other process writes meanwhile.

    Returns
    -------
    count : int
        Of the rows.
    lines : list of str
        What was left out of the file or read otherwise than it stands there; then one line for each column with
        cells that training does not know, see `kdlib.deployment.features.lines`.

    Raises
    ------
    UserError
        For a file that is missing or damaged, and for rows that do not fit.
    """
    if not str(output).endswith(".csv"):
        raise UserError(f"--output: got {str(output)!r}; needs a path that ends with .csv")
    apart({"MODEL": model, "ROWS": rows, "--output": output})
    with exclusive(output):
        return _predict(load(model), rows, output)


def _predict(deployed, rows, output):
    if not Path(rows).is_file():
        raise UserError(f"{rows}: not found; needs rows in a table, such as a .csv or .parquet, or in an .npz")
    x = read_npz(rows, ["x"], own=True)["x"] if rows.lower().endswith(".npz") else read_table(rows)
    try:
        encoded, unknown = features(x, deployed.about)
        probabilities = deployed.predict_proba(encoded).tolist()
    except UserError as error:
        raise error if str(error).startswith(rows) else UserError(f"{rows}: {error}") from None
    if not probabilities:
        raise UserError(f"{rows}: has no rows")
    classes, written = deployed.about.classes, []
    for row in probabilities:
        best = row.index(max(row))
        named = {f"probability of {name}": value for name, value in zip(classes, row, strict=True)}
        written.append({"class": classes[best], "confidence": row[best]} | named)
    write_csv(output, written)
    notes = x.notes if isinstance(x, Table) else ()
    return len(written), [*notes, *lines(unknown, len(written))]
