"""The file of a stack of integer networks. `evaluate` reads it to measure the cost of rounding."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdlib.deployment.integer_network import IntegerNetwork
from kdlib.io.artifacts import array_digest, read_json, read_npz, write_npz
from kdlib.io.errors import UserError

if TYPE_CHECKING:
    from kdlib.learning.network import Network


def save_stack(
    path: Path | str,
    networks: Sequence[IntegerNetwork],
    student: "Network",
    temperatures: np.ndarray | None = None,
) -> None:
    """Write integer networks to one file.

    Parameters
    ----------
    path : Path or str
    networks : sequence of IntegerNetwork
        One for each replica of `student`, all of the same sizes and bits.
    student : Network
        The network that they were made from. Its digest is stored.
    temperatures : np.ndarray, (R,), optional
        By which the logits of its R replicas were divided before they became integers; None: by nothing.
    """
    arrays = [network.arrays() for network in networks]
    stacked = {name: np.stack([of_network[name] for of_network in arrays]) for name in arrays[0]}
    metadata = networks[0].metadata() | {"student": array_digest(student.arrays())}
    metadata |= {} if temperatures is None else {"temperatures": temperatures.tolist()}
    write_npz(path, stacked | {"about": np.array(json.dumps(metadata, sort_keys=True).encode())})


def load_stack(path: Path | str, student: "Network") -> tuple[list[IntegerNetwork], np.ndarray | None]:
    """Read the networks and the temperatures that `save_stack` wrote.

    Raises
    ------
    UserError
        If the file is damaged, or if it was made from another student.
    """
    arrays = read_npz(path, ["about"])
    try:
        metadata = read_json(arrays.pop("about").item())
        count = len(next(iter(arrays.values())))
        networks = [
            IntegerNetwork.from_arrays({name: array[k] for name, array in arrays.items()}, metadata)
            for k in range(count)
        ]
        temperatures = _temperatures(metadata.get("temperatures"), count)
    except (AttributeError, LookupError, OverflowError, StopIteration, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a stack of integer networks ({error}); run the stage deploy again") from None
    alike = [network.sizes for network in networks] == [student.sizes] * student.replicas
    if metadata.get("student") != array_digest(student.arrays()) or not alike:
        raise UserError(f"{path}: made of another student; run the stage deploy again")
    return networks, temperatures


def _temperatures(values, count):
    """Return temperatures as an array, None as it is; ValueError if they are not `count` positive numbers."""
    if values is None:
        return None
    array = np.array(values)
    if array.shape != (count,) or array.dtype != np.float64 or not ((array > 0) & (array < np.inf)).all():
        raise ValueError(f"temperatures are {array.dtype} {array.shape}, not {count} positive numbers")
    return array
