"""The file of a stack of integer networks, of which `evaluate` tells what rounding costs."""

import json

import numpy as np

from kdlib.deployment.integer_network import IntegerNetwork
from kdlib.io.artifacts import digest, read_json, read_npz, write_npz
from kdlib.io.errors import UserError


def save_stack(path, networks, student):
    """Write the networks that were made of a `Network`, student."""
    arrays = [network.arrays() for network in networks]
    stacked = {name: np.stack([of[name] for of in arrays]) for name in arrays[0]}
    about = networks[0].settings() | {"student": digest(student.arrays())}
    write_npz(path, stacked | {"about": np.array(json.dumps(about, sort_keys=True).encode())})


def load_stack(path, student):
    """The networks that `save_stack` wrote. Raises UserError if the file is damaged, or is of another student."""
    arrays = read_npz(path, ["about"])
    try:
        about = read_json(arrays.pop("about").item())
        count = len(next(iter(arrays.values())))
        networks = [IntegerNetwork.from_arrays({n: a[k] for n, a in arrays.items()}, about) for k in range(count)]
    except (AttributeError, LookupError, OverflowError, StopIteration, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a stack of integer networks ({error}); run the stage quantize again") from None
    alike = [network.sizes for network in networks] == [student.sizes] * student.replicas
    if about.get("student") != digest(student.arrays()) or not alike:
        raise UserError(f"{path}: made of another student; run the stage quantize again")
    return networks
