"""Stage quantize: the student's networks as integers, and the deployed one -> models/quantized.npz, deployed*.npz"""

import logging
from itertools import chain

from kdlib.backends.arithmetic import EXACT
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.integer_stack import save_stack
from kdlib.deployment.model_file import About, deployed
from kdlib.deployment.quantization import quantized
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network
from kdlib.learning.stack import parts
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params

log = logging.getLogger("quantize")


@locks_outputs("quantized", "deployed", "integers")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage. Raises UserError if the student's file lacks the network to deploy."""
    dataset = Dataset.load(paths.dataset)
    bits = params.deploy.bits
    model = load_model(paths.student, dataset)
    if model.deployed is None:
        raise UserError(f"{paths.student}: lacks deployed, the network that leaves; train it again")
    stacks = enumerate(parts(dataset.splits, model.network.replicas))
    networks = [quantized(model.network.part(own), dataset, split, bits) for split, own in stacks]
    network = Network(model.network.sizes, 1, EXACT)
    about = About.of(dataset, model)
    network.parameters[:] = model.deployed
    (integers,) = quantized(network, dataset, about.split, bits)
    deployed_floats = deployed(FloatNetwork(network), about, dataset)
    deployed_integers = deployed(integers, about, dataset)
    save_stack(paths.quantized, list(chain.from_iterable(networks)), model.network)
    deployed_floats.save(paths.deployed)
    deployed_integers.save(paths.integers)
    log.info("%s: replica %d of split %d, %s", paths.deployed, about.replica, about.split, about.setting)


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "dataset", "student", "quantized", "deployed", "integers").parse_args())
