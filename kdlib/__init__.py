"""Knowledge distillation for model compression, in NumPy.

`train` trains a stack of small networks by a `Recipe` on an objective: `CrossEntropy` with labels, or `Distillation` of
a teacher's logits; `Weighted` is either with a weight for each example. `DistilledClassifier` does all of it behind
scikit-learn's interface. `load` reads a deployed student. In exact arithmetic, the default, the same arguments give the
same bytes on every machine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

BYTES = 2  # another number where the same parameters give other bytes: what an experiment depends on for the code

if TYPE_CHECKING:
    from kdlib.backends.context import Context
    from kdlib.deployment.model_file import load
    from kdlib.estimator import DistilledClassifier
    from kdlib.evaluation import metrics
    from kdlib.io.errors import UserError
    from kdlib.learning import losses
    from kdlib.learning.network import Network
    from kdlib.learning.objectives import CrossEntropy, Distillation
    from kdlib.learning.recipe import Recipe
    from kdlib.learning.schedules import LinearSchedule
    from kdlib.learning.training import train
    from kdlib.learning.weighting import Weighted
    from kdlib.numerics.streams import Streams

    __version__: str

# Where the names are. They are imported when they are used: a stage depends only on the packages that it imports.
_PLACES = {
    "Context": "kdlib.backends.context",
    "CrossEntropy": "kdlib.learning.objectives",
    "Distillation": "kdlib.learning.objectives",
    "DistilledClassifier": "kdlib.estimator",
    "LinearSchedule": "kdlib.learning.schedules",
    "Network": "kdlib.learning.network",
    "Recipe": "kdlib.learning.recipe",
    "Streams": "kdlib.numerics.streams",
    "UserError": "kdlib.io.errors",
    "Weighted": "kdlib.learning.weighting",
    "load": "kdlib.deployment.model_file",
    "losses": "kdlib.learning.losses",
    "metrics": "kdlib.evaluation.metrics",
    "train": "kdlib.learning.training",
}

__all__ = [
    "BYTES",
    "Context",
    "CrossEntropy",
    "Distillation",
    "DistilledClassifier",
    "LinearSchedule",
    "Network",
    "Recipe",
    "Streams",
    "UserError",
    "Weighted",
    "__version__",
    "load",
    "losses",
    "metrics",
    "train",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("kdlib")
    if name not in _PLACES:
        raise AttributeError(f"module 'kdlib' has no attribute {name!r}")
    module = import_module(_PLACES[name])
    return module if _PLACES[name].endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
