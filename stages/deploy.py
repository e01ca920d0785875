"""Stage deploy: the student's networks as integers, and one network for kdlib, ONNX and C -> models/deployed/"""

import logging
from itertools import chain

from kdlib.backends.arithmetic import EXACT
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.deployment.c_source import c_source
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.integer_stack import save_stack
from kdlib.deployment.model_file import DeployedModel, ModelCard
from kdlib.deployment.onnx_export import onnx_file
from kdlib.deployment.quantization import quantize_stack
from kdlib.io.artifacts import write_bytes, write_text
from kdlib.io.atomic import replacing_folder
from kdlib.io.errors import UserError
from kdlib.learning.calibration import calibrate
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network
from kdlib.learning.stack import network_slices
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params

log = logging.getLogger("deploy")


@locks_outputs("deployed")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage. Raises UserError if the student's file lacks the network to deploy."""
    dataset = Dataset.load(paths.dataset)
    bits = params.deploy.bits
    model = load_model(paths.student, dataset)
    if model.weights_to_deploy is None:
        raise UserError(f"{paths.student}: lacks deployed, the network that leaves; train it again")
    student = model.network
    network = Network(model.network.sizes, 1, EXACT)
    card = ModelCard.of(dataset, model)
    network.parameters[:] = model.weights_to_deploy
    temperatures = None
    if params.deploy.calibrate:
        on_levels = bool(model.params.get("student.bits"))
        student, temperatures = calibrate(student, dataset, range(dataset.splits), on_levels)
        network, fitted = calibrate(network, dataset, [card.split], on_levels)
        log.info("%s: the logits are divided by %g, fitted on validation rows", paths.deployed, fitted[0])
    stacks = enumerate(network_slices(dataset.splits, student.replicas))
    networks = [quantize_stack(student.select(own), dataset, split, bits) for split, own in stacks]
    (quantized_network,) = quantize_stack(network, dataset, card.split, bits)
    floats = DeployedModel.of(FloatNetwork(network), card, dataset)
    integers = DeployedModel.of(quantized_network, card, dataset)
    with replacing_folder(paths.deployed) as folder:
        save_stack(folder / "stack.npz", list(chain.from_iterable(networks)), model.network, temperatures)
        floats.save(folder / "float.npz")
        integers.save(folder / "int.npz")
        write_bytes(folder / "student.onnx", onnx_file(floats))
        write_bytes(folder / "student_int.onnx", onnx_file(integers))
        write_text(folder / "student.h", c_source(integers))
    log.info("%s: replica %d of split %d, %s", paths.deployed, card.replica, card.split, card.setting)


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "dataset", "student", "deployed").parse_args())
