"""One hash under every BLAS kernel, number of threads, set of SIMD extensions, and compiled; `fast` has more there."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KERNELS = {"Prescott": "SSE3", "Nehalem": "SSE42", "Sandybridge": "AVX", "Haswell": "AVX2", "SkylakeX": "AVX512F"}


def cpu_features():
    try:
        from numpy._core import _multiarray_umath as umath
    except ImportError:
        from numpy.core import _multiarray_umath as umath
    return umath.__cpu_features__, umath.__cpu_dispatch__


def environments():
    """(kernel, threads, SIMD) that this machine can run."""
    features, dispatched = cpu_features()
    disabled = " ".join(name for name in dispatched if features.get(name))
    selection = [kernel for kernel, feature in KERNELS.items() if features.get(feature)] or [""]
    for kernel in selection:
        for threads in ("1", "2"):
            for off in dict.fromkeys(["", disabled]):
                yield {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads, "NPY_DISABLE_CPU_FEATURES": off}
    for processor in ("", "generic") if importlib.util.find_spec("numba") else ():
        yield {"OPENBLAS_CORETYPE": selection[-1], "KERNELS": "numba", "NUMBA_CPU_NAME": processor}


def pipeline(name):
    """Hash of all that a small pipeline computes: split, scaling, all regularisers, both optimizers, all measures.

    The least values are zeros of both signs: which of them a minimum over all pixels returns depends on the SIMD.
    """
    from kdlib.backends.arithmetic import ARITHMETICS
    from kdlib.backends.context import Context
    from kdlib.deployment.float_network import FloatNetwork
    from kdlib.deployment.quantization import quantize_stack
    from kdlib.evaluation.heldout import predict_heldout
    from kdlib.learning import model_file
    from kdlib.learning.augmentation import Views, with_views
    from kdlib.learning.objectives import CrossEntropy, Distillation
    from kdlib.learning.recipe import Recipe
    from kdlib.learning.sweeps import Sweep, concat_networks
    from kdlib.learning.training import train
    from kdlib.learning.validation import validate
    from kdlib.numerics.streams import Streams
    from kdlib.pipeline.linear_control import train_linear_control
    from kdlib.preparation import sources
    from kdlib.preparation.build import build_dataset
    from kdlib.reporting.report import build_report

    context = Context(os.environ.get("KERNELS", "numpy"))
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 90)
    x = random.integers(0, 17, (450, 200)) + 4 * (np.arange(200) % 5 == y[:, None])
    signed = [np.where(x == 0, np.copysign(0.0, random.random(x.shape) - 0.5), x) for _ in range(16)]
    x = signed[0]
    examples = sources.Examples(x, y, list("abcde"), [str(k) for k in range(200)])
    dataset = build_dataset(examples, 0, 2, 0.8, 0.1, None, "standard", 1.0)
    rows = [dataset.rows("train", split) for split in range(2)]
    flat = [dataset.inputs(own, split) for split, own in enumerate(rows)]
    one_hot = np.stack([dataset.one_hot(own, split) for split, own in enumerate(rows)])
    arithmetic = ARITHMETICS[name]
    shared = {"epochs": 3, "batch_size": 32, "schedule": "linear"}
    held_out = [dataset.rows("validation", split) for split in range(2)]
    validation = [(dataset.inputs(own, split), dataset.one_hot(own, split)) for split, own in enumerate(held_out)]
    labels = CrossEntropy(one_hot, arithmetic)
    options = {"dropout": 0.2, "nesterov": True, "input_dropout": 0.1, "max_norm": 1.4, "views": 4}
    recipe = Recipe((160, 96), learning_rate=0.01, **options, **shared)
    shown = with_views(replace(dataset, image_shape=(10, 20)), Views(1, 4, 0.1, 1.5), 0)
    seen = [shown.rows("train", split) for split in range(2)]
    inputs = [shown.inputs(own, split) for split, own in enumerate(seen)]
    of_views = CrossEntropy(np.stack([shown.one_hot(own, split) for split, own in enumerate(seen)]), arithmetic)
    teacher, curve = train(
        inputs, of_views, recipe, validation, Streams(0, "teacher", (0, 1, 1000, 1001)), context=context
    )
    logits = model_file.split_logits(teacher, dataset)
    students = Recipe((48,), optimizer="adam", learning_rate=(0.01, 0.02) * 2, **shared)
    streams = Streams(0, "student", (0, 1, 0, 1, 1000, 1001, 1000, 1001))
    taught = np.stack([logits[split, own] for split, own in enumerate(rows)])
    soft = Distillation(one_hot, taught, arithmetic, temperature=(1.0, 4.0) * 2)
    stacks = {"teacher": model_file.Model(teacher, curve, logits)}
    for key, objective in (("baseline", labels), ("student", soft)):
        network, curve = train(flat, objective, students, validation, streams, context=context)
        loss, accuracy = (values.reshape(2, 2, 2) for values in validate(network, validation))
        sweep = Sweep({"learning_rate": (0.01, 0.02)}, loss, accuracy)
        halves = [slice(0, 4), slice(4, 8)]
        parts = [network.select(own) for own in halves], [{n: v[own] for n, v in curve.items()} for own in halves]
        stacks[key] = model_file.Model(*concat_networks(*parts, sweep.chosen(), 2), None, sweep)
    images = [sources.Examples(x, y, list("abcde"), examples.feature_names, (10, 20)) for x in signed]
    digests = [build_dataset(image, 0, 1, 0.8, 0.1, None, "minmax", 1.0).digest for image in images]
    digest = hashlib.sha256("".join([dataset.digest, *digests]).encode())
    digest.update(shown.x.tobytes())
    for stack in stacks.values():
        digest.update(stack.network.parameters.tobytes() + b"".join(c.tobytes() for c in stack.curve.values()))
    on_levels, first = replace(students, learning_rate=0.01, bits=4), CrossEntropy(one_hot[0], arithmetic)
    levels, _ = train(flat[0], first, on_levels, validation[0], Streams(0, "student"), context=context)
    digest.update(levels.parameters.tobytes())
    for bits in (8, 4, 2):
        (network,) = quantize_stack(levels, dataset, 0, bits)
        digest.update(network.sums(dataset.inputs(rows[0])).tobytes())
    digest.update(FloatNetwork(levels).logits(dataset.inputs(rows[0])).tobytes())
    said = predict_heldout(dataset, stacks, list("abc"))
    digest.update(repr(build_report(dataset, stacks, said, train_linear_control(dataset, said), list("abc"))).encode())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def hashes():
    """{arithmetic: {environment: hash}}."""
    result = {"exact": {}, "fast": {}}
    for environment in environments():
        command = [sys.executable, "-W", "ignore", __file__]
        settings = os.environ | environment | {"PYTHONPATH": str(ROOT)}
        settings = {key: value for key, value in settings.items() if value}
        output = subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout.split()
        for arithmetic, value in zip(result, output, strict=True):
            result[arithmetic][" ".join(f"{k}={v[:24]}" for k, v in environment.items())] = value
    return result


def test_exact_has_one_hash_everywhere(hashes):
    lines = "\n".join(f"{value[:12]} {environment}" for environment, value in hashes["exact"].items())
    assert len(set(hashes["exact"].values())) == 1, lines


def test_fast_has_more_than_one(hashes):
    if len({environment.split()[0] for environment in hashes["fast"]}) == 1:
        pytest.skip("one BLAS kernel on this processor: nothing to tell apart")
    assert len(set(hashes["fast"].values())) > 1


if __name__ == "__main__":
    from kdlib.backends import context

    found = pipeline("exact"), pipeline("fast")
    assert ("KERNELS" in os.environ) == any(context._agreed.values()), context._agreed
    print(*found)
