"""One hash under every BLAS kernel, number of threads and set of SIMD extensions; `fast` has more than one there."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
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
    kernels = [kernel for kernel, feature in KERNELS.items() if features.get(feature)] or [""]
    for kernel in kernels:
        for threads in ("1", "2"):
            for off in dict.fromkeys(["", disabled]):
                yield {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads, "NPY_DISABLE_CPU_FEATURES": off}


def pipeline(name):
    """Hash of all that a small pipeline computes: split, scaling, all regularisers, both optimizers, all measures.

    The least values are zeros of both signs: which of them a minimum over all pixels returns depends on the SIMD.
    """
    from kdlib.data.dataset import SPLITS
    from kdlib.evaluation import report
    from kdlib.learning import models
    from kdlib.learning.objectives import CrossEntropy, Distillation
    from kdlib.learning.recipe import Recipe
    from kdlib.learning.training import train
    from kdlib.numerics.arithmetic import ARITHMETICS
    from kdlib.numerics.streams import Streams
    from kdlib.preparation import sources
    from kdlib.preparation.assembly import prepare

    random = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 90)
    x = random.integers(0, 17, (450, 200)) + 4 * (np.arange(200) % 5 == y[:, None])
    signed = [np.where(x == 0, np.copysign(0.0, random.random(x.shape) - 0.5), x) for _ in range(16)]
    x = signed[0]
    examples = sources.Examples(x, y, list("abcde"), [str(k) for k in range(200)])
    dataset = prepare(examples, 0, 0.8, 0.1, None, "standard", 1.0)
    inputs, one_hot = dataset.inputs("train"), dataset.one_hot("train")
    arithmetic = ARITHMETICS[name]
    shared = {"epochs": 3, "schedule": "linear", "learning_rate": 0.01}
    validation = dataset.inputs("validation"), dataset.one_hot("validation")
    labels = CrossEntropy(one_hot, arithmetic)
    options = {"dropout": 0.2, "nesterov": True, "input_dropout": 0.1, "max_norm": 1.4, "shift": 1}
    recipe, streams = Recipe((160, 96), **options, **shared), Streams(0, "teacher", (0, 1))
    teacher, curve = train(inputs.reshape(-1, 10, 20), labels, validation, recipe, streams)
    logits = {s: models.ensemble_logits(teacher.logits(dataset.inputs(s))) for s in SPLITS}
    students = Recipe((48,), optimizer="adam", **shared), Streams(0, "student", (0, 1, 2))
    soft = Distillation(one_hot, logits["train"], arithmetic)
    trained = {key: train(inputs, o, validation, *students) for key, o in (("baseline", labels), ("student", soft))}
    stacks = {"teacher": models.Model(teacher, curve, logits)}
    stacks |= {key: models.Model(*result, {}) for key, result in trained.items()}
    images = [sources.Examples(x, y, list("abcde"), examples.feature_names, (10, 20)) for x in signed]
    digests = [prepare(image, 0, 0.8, 0.1, None, "minmax", 1.0).digest for image in images]
    digest = hashlib.sha256("".join([dataset.digest, *digests]).encode())
    for stack in stacks.values():
        digest.update(stack.network.parameters.tobytes() + b"".join(c.tobytes() for c in stack.curve.values()))
    digest.update(repr(report.report(dataset, stacks, report.logits_of(dataset, stacks), list("abc"))).encode())
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
    print(pipeline("exact"), pipeline("fast"))
