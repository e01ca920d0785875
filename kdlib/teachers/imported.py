"""Classifiers by dotted path, such as lightgbm.LGBMClassifier: any class with scikit-learn's interface.

A class that is named is imported and run. Only `params.yaml` may name one, never a file of data or of a model.
"""

import importlib
import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdlib.io.errors import UserError

DOTTED_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
PACKAGES = {"sklearn": "scikit-learn", "imblearn": "imbalanced-learn"}  # {module: name for pip}, where they differ
THREAD_OPTIONS = ("n_jobs", "thread_count", "nthread", "nthreads", "num_thread", "num_threads")
SEED_OPTIONS = ("random_state", "random_seed", "seed")


def is_dotted(name: str) -> bool:
    """Return whether a name has the form package.module.Class."""
    return DOTTED_PATH.fullmatch(name) is not None


def import_class(name: str) -> type:
    """Import the class that a dotted path names.

    Parameters
    ----------
    name : str
        For example "lightgbm.LGBMClassifier"; a module may be in the working directory, beside `params.yaml`.

    Returns
    -------
    type
        With `fit` and `predict_proba`.

    Raises
    ------
    UserError
        If the module is not installed or cannot be imported, or if it has no such class.
    """
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module can raise anything
        raise UserError(_import_failure(name, module_name, error)) from None
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and hasattr(value, "fit")]
        known = f"; it has {', '.join(classes[:8])}" if classes else ""
        raise UserError(f"teacher.model: got {name!r}; {module_name} has no {attribute}{known}")
    found = getattr(module, attribute)
    absent = [method for method in ("fit", "predict_proba") if not callable(getattr(found, method, None))]
    if not isinstance(found, type) or absent:
        kind = f"a class without {' and '.join(absent)}" if isinstance(found, type) else "no class"
        raise UserError(f"teacher.model: got {name!r}, {kind}; needs a class with fit and predict_proba")
    return found


def _import_failure(name, module_name, error):
    """Return the message about a module that could not be imported."""
    absent = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
    if absent is None:
        reason = " ".join(str(error).split())
        return f"teacher.model: got {name!r}; {module_name} cannot be imported: {type(error).__name__}: {reason}"
    package = absent.partition(".")[0]
    remedy = f"pip install {PACKAGES.get(package, package)}"
    if not f"{module_name}.".startswith(f"{absent}."):
        return f"teacher.model: got {name!r}; {module_name} needs {absent}, which is not installed: {remedy}"
    if absent != package:
        return f"teacher.model: got {name!r}; {package} is installed, but has no module {absent}"
    return f"teacher.model: got {name!r}; {package} is not installed: {remedy}, or put {package}.py beside params.yaml"


def constructor_options(kind: type) -> tuple[list[str], bool]:
    """Return the options of a class's constructor.

    A constructor with `**options` may hand these to those of its bases, whose options are then listed too.

    Returns
    -------
    names : list of str
    takes_others : bool
        Whether options with other names are allowed.
    """
    names = {}
    takes_others = False
    for base in kind.__mro__[:-1]:  # the last one is object
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        names |= {p.name: None for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        takes_others = any(p.kind == p.VAR_KEYWORD for p in parameters)
        if not takes_others:
            break
    return list(names), takes_others


def unset_options(kind: type, options: Collection[str], seed: int) -> dict[str, int]:
    """Return options for one thread and for a seed, where the class has them and none is given.

    Parameters
    ----------
    kind : type
    options : collection of str
        Names of the options that are given.
    seed : int
        For the first of SEED_OPTIONS that the class has.
    """
    names, _ = constructor_options(kind)
    result = {}
    for group, value in ((THREAD_OPTIONS, 1), (SEED_OPTIONS, seed)):
        known = [name for name in group if name in names]
        if known and not any(name in options for name in group):
            result[known[0]] = value
    return result


@dataclass(frozen=True)
class ImportedClassifier:
    """A class with scikit-learn's interface, and options to build it with.

    Parameters
    ----------
    name : str
        The dotted path.
    kind : type
    options : mapping of str to object
        Arguments of the constructor. The keys of a mapping `class_weight` are class numbers.
    """

    name: str
    kind: type
    options: Mapping[str, Any]

    def build(self, seed: int, classes: Sequence[int]) -> Any:
        """Build a classifier that is not fitted.

        It has one thread, because sums may depend on the number of threads, unless the options name a number.

        Parameters
        ----------
        seed : int
            Of its random draws, unless the options have another.
        classes : sequence of int
            Numbers of the classes that it will be fitted on. It will get them numbered from 0.

        Returns
        -------
        classifier

        Raises
        ------
        UserError
            If the constructor raises an exception.
        """
        options = dict(self.options)
        if isinstance(options.get("class_weight"), dict):
            weights = options["class_weight"]
            options["class_weight"] = {k: weights[number] for k, number in enumerate(classes)}
        options |= unset_options(self.kind, options, seed)
        try:
            return self.kind(**options)
        except Exception as error:  # a constructor can raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"teacher.options: {self.name} cannot be built with them: {reason}") from None


def import_classifier(name: str, options: Mapping[str, Any], classes: int) -> ImportedClassifier:
    """Import a class and check that it can be built with the options.

    Parameters
    ----------
    name : str
        The dotted path.
    options : mapping of str to object
        See `ImportedClassifier`.
    classes : int
        Number of classes.

    Returns
    -------
    ImportedClassifier

    Raises
    ------
    UserError
        As `import_class` and `ImportedClassifier.build` do; also if the class has no option of a name.
    """
    kind = import_class(name)
    allowed, takes_others = constructor_options(kind)
    for option in options:
        if option not in allowed and not takes_others:
            raise UserError(f"teacher.options.{option}: unknown; {name} has {', '.join(allowed) or 'none'}")
    result = ImportedClassifier(name, kind, options)
    result.build(0, range(classes))
    return result
