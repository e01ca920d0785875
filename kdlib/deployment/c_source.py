"""Write an integer network as one C99 file: its constants, and functions that need no library."""

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from kdlib.deployment.c_template import FUNCTIONS, HEAD, LAYER, WIDTH, doubles, integers, string
from kdlib.deployment.integer_network import MAX_ACTIVATION, pack
from kdlib.io.text_template import fill_template
from kdlib.numerics.streams import Streams

if TYPE_CHECKING:
    from kdlib.deployment.model_file import DeployedModel

POINTER_BYTES = 4  # of the pointer to a class name
TEST_VECTORS = 10  # rows of the self-test
MAX_FLOAT32 = float(np.finfo(np.float32).max)


def _listed(items, indent=4):
    """Return lines of the items, with commas, each as long as a line may be."""
    lines = []
    line = " " * indent
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * indent
        line += f"{item}, "
    return "\n".join([*lines, line.rstrip()]) + "\n"


def _constant(kind, name, items):
    return f"static const {kind} student_{name}[{len(items)}] = {{\n{_listed(items)}}};\n\n"


def _comment(value):
    """Return JSON that can neither end nor begin a comment."""
    return json.dumps(value, sort_keys=True).replace("*", "\\u002a")


def _flash_bytes(deployed):
    arrays = [*deployed.network.arrays().items(), ("", deployed.offset), ("", deployed.scale)]
    names = sum(len(name.encode()) + 1 + POINTER_BYTES for name in deployed.card.classes)  # lint: integer sum
    return names + sum(array.nbytes for name, array in arrays if name != "scalars")  # lint: integer sum


def _layer_loops(network):
    """Return the loops over the units of each layer."""
    text = ""
    sizes = network.sizes
    for k in range(len(network.layers)):
        sums = f"student_sum(a{k}, {sizes[k]}, student_weights_{k}, i * {sizes[k]}, student_biases_{k}[i])"
        hidden = k < len(network.shifts)
        result = f"a{k + 1}[i] = student_activation({sums}, student_shifts_{k}[i])" if hidden else f"logits[i] = {sums}"
        text += fill_template(LAYER, OUT=sizes[k + 1], RESULT=result)
    return text


def _constants(deployed, scale):
    network = deployed.network
    text = _constant("char *const", "names", [string(name) for name in deployed.card.classes])
    text += _constant("double", "offset", doubles(deployed.offset))
    text += _constant("double", "scale", doubles(scale))
    for k, (weights, biases) in enumerate(network.layers):
        text += _constant("uint8_t", f"weights_{k}", integers(pack(weights.T.ravel(), network.bits)))
        text += _constant("int32_t", f"biases_{k}", integers(biases))
        text += _constant("uint8_t", f"shifts_{k}", integers(network.shifts[k])) if k < len(network.shifts) else ""
    return text


def vectors(deployed: "DeployedModel") -> np.ndarray:
    """Return raw rows for the self-test, (TEST_VECTORS, features) float64.

    The inputs of the network go a little beyond both ends of their range. All values are float32 numbers, because C
    stores them as float.
    """
    network = deployed.network
    generator = Streams(0, "self-test").generators("rows")[0]
    inputs = (MAX_ACTIVATION + 32) * generator.random((TEST_VECTORS, network.sizes[0])) - 16 - network.zero_point
    scaled = inputs * math.ldexp(1, -network.input_exponent)
    rows = np.clip(scaled / deployed.scale + deployed.offset, -MAX_FLOAT32, MAX_FLOAT32)
    return rows.astype(np.float32).astype(np.float64)


def c_source(deployed: "DeployedModel") -> str:
    """Return the text of `student.h`.

    Parameters
    ----------
    deployed : DeployedModel
        With an `IntegerNetwork`.
    """
    network = deployed.network
    card = deployed.card
    sizes = network.sizes
    bits = network.bits
    scale = deployed.scale * math.ldexp(1, network.input_exponent)
    rows = vectors(deployed)
    expected = np.ldexp(deployed.logits(rows), network.logit_exponent)
    return fill_template(
        HEAD + FUNCTIONS,
        SIZES="-".join(map(str, sizes)),
        BITS=bits,
        PACKED=8 // bits,
        MASK=(1 << bits) - 1,
        SIGN=1 << bits - 1,
        FEATURES=sizes[0],
        CLASSES=sizes[-1],
        EXPONENT=network.logit_exponent,
        LOW=-network.zero_point,
        FLASH=_flash_bytes(deployed),
        RAM=sum(sizes[:-1]),  # lint: integer sum
        ROW=8 * sizes[0],
        LOGITS=4 * sizes[-1],
        BUFFERS="uint8_t " + ", ".join(f"a{k}[{width}]" for k, width in enumerate(sizes[:-1])) + ";",
        OFFSET="i" if len(deployed.offset) > 1 else "0",
        SCALE="i" if len(scale) > 1 else "0",
        LAYERS=_layer_loops(network),
        CONSTANTS=_constants(deployed, scale),
        VECTORS=TEST_VECTORS,
        ROWS="".join(f"        {{\n{_listed(doubles(row), 12)}        }},\n" for row in rows),
        EXPECTED="".join(f"        {{{', '.join(integers(row))}}},\n" for row in expected),
        DATASET=card.dataset,
        SPLIT=card.split,
        REPLICA=card.replica,
        LICENCE=card.licence,
        SETTING=_comment(card.setting),
        RECIPE=_comment(card.recipe),
    )
