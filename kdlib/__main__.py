"""Tools for trained models: `python -m kdlib latency models/student.npz`."""

import argparse
import sys
import time

import numpy as np

from kdlib.artifacts import read_npz
from kdlib.errors import UserError
from kdlib.learning.network import Network, parameter_count
from kdlib.numerics.arithmetic import Fast

ROUNDS = 200


def latency(path, batch):
    """Print the time of one example and of a batch through one network of `path`, in float32: median and quartiles."""
    arrays = read_npz(path, ["weights_0"])
    try:
        stack = Network.from_arrays(arrays, Fast)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights ({error})") from None
    network = Network(stack.sizes, 1, Fast)
    network.parameters[:] = stack.parameters[:1]
    print(f"{path}: {'-'.join(map(str, network.sizes))}, {parameter_count(network.sizes):,} parameters")
    for rows in (1, batch):
        x = np.random.default_rng(0).random((rows, network.sizes[0]), dtype=np.float32)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            network.logits(x)
            times.append(1e6 * (time.perf_counter() - start))
        low, median, high = np.quantile(times[ROUNDS // 10 :], (0.25, 0.5, 0.75))
        print(f"  {rows:5d} examples: {median:9.1f} us, quartiles {low:.1f} to {high:.1f}")


def main():
    parser = argparse.ArgumentParser(prog="python -m kdlib", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("latency", help="time one network of each file on this machine; nothing is written")
    command.add_argument("models", nargs="+", metavar="FILE", help="models/student.npz, models/teacher.npz, ...")
    command.add_argument(
        "--batch",
        type=int,
        choices=range(1, 2**20),
        metavar="N",
        default=1024,
        help="examples in the batch (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        for path in arguments.models:
            latency(path, arguments.batch)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
