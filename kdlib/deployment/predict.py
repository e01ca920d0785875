"""Rows of a file in, a CSV of classes and probabilities out."""

from pathlib import Path

from kdlib.artifacts import read_npz, write_csv
from kdlib.data.tables import read_table
from kdlib.deployment.deployed import load
from kdlib.errors import UserError
from kdlib.outputs import apart, exclusive


def predict(model, rows, output):
    """Write class, confidence (the largest probability) and probabilities of each of the rows; returns how many.

    All three are paths. rows: a table as `read_table` takes it, or the `x` of an .npz. output: a .csv, which no other
    process writes meanwhile. Raises UserError.
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
        probabilities = deployed.predict_proba(x).tolist()
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
    return len(written)
