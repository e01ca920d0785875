"""Stage quantize: the student's networks as integers, and the one that leaves -> models/quantized.npz, deployed*.npz"""

import logging
from itertools import chain

from kdlib.backends.arithmetic import Exact
from kdlib.data.dataset import Dataset
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.integer_stack import save_stack
from kdlib.deployment.model_file import About, deployed
from kdlib.deployment.quantization import quantized
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network
from kdlib.learning.stack import parts
from kdlib.pipeline.command_line import PATHS, parser, run, writes

log = logging.getLogger("quantize")


@writes("quantized", "deployed", "integers")
def main(params, paths=PATHS):
    dataset, bits = Dataset.load(paths.dataset), params.deploy.bits
    model = load_model(paths.student, dataset)
    if model.deployed is None:
        raise UserError(f"{paths.student}: lacks deployed, the network that leaves; train it again")
    stacks = enumerate(parts(dataset.splits, model.network.replicas))
    networks = [quantized(model.network.part(own), dataset, split, bits) for split, own in stacks]
    leaving, about = Network(model.network.sizes, 1, Exact), About.of(dataset, model)
    leaving.parameters[:] = model.deployed
    (integers,) = quantized(leaving, dataset, about.split, bits)
    both = deployed(FloatNetwork(leaving), about, dataset), deployed(integers, about, dataset)
    save_stack(paths.quantized, list(chain.from_iterable(networks)), model.network)
    for made, path in zip(both, (paths.deployed, paths.integers), strict=True):
        made.save(path)
    log.info("%s: replica %d of split %d, %s", paths.deployed, about.replica, about.split, about.setting)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "student", "quantized", "deployed", "integers").parse_args())
