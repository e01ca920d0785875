"""No bare float reduction and no function of the C library on the exact path."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("kdlib/**/*.py"), *ROOT.glob("stages/*.py")])
# Where the reductions live, and what is not on the exact path: plain float32, and the stopwatch.
EXEMPT = {
    "kdlib/numerics/exact.py": None,
    "kdlib/numerics/elementary.py": None,
    "kdlib/numerics/sums.py": None,
    "kdlib/__main__.py": None,
    "kdlib/backends/arithmetic.py": {"Fast"},
    "kdlib/backends/dense.py": {"FastDense", "ExactDense.square_sum"},
    "kdlib/numerics/grids.py": {"product", "blas_is_exact"},
    "kdlib/numerics/reductions.py": {"row_sums"},
    "kdlib/backends/numba_backend/scalars.py": {"fast_exp"},
    "kdlib/backends/numba_backend/passes.py": {"product", "product_of_transposed"},
    "kdlib/backends/numba_backend/wide_passes.py": {"plain_product"},
}
REDUCTIONS = {
    "sum", "mean", "average", "std", "var", "prod", "dot", "vdot", "inner", "outer", "matmul", "tensordot", "einsum",
    "trace", "cumsum", "cumprod", "nansum", "nanmean", "nanstd", "nanvar", "median", "convolve", "corrcoef", "cov",
    "linalg", "fsum", "sumprod", "trapezoid", "logaddexp", "kron", "fmean", "percentile", "quantile", "interp",
    "vecdot", "matvec", "vecmat", "reduceat", "accumulate",
}  # fmt: skip
LIBM = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "pow", "power", "float_power", "sin", "cos", "tan", "sinh",
    "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "atan2", "hypot", "cbrt", "gamma", "lgamma", "erf",
}  # fmt: skip
NUMERIC = {"np", "numpy", "math", "statistics", "operator"}
EXACT_OWNERS = {"exact", "arithmetic", "EXACT"}  # their `sum` and `mean` are the exact ones


def names(node):
    """Return the dotted name of an expression such as np.add.reduce, as a list; "" comes first if the root has none."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return [*([node.id] if isinstance(node, ast.Name) else [""]), *reversed(attributes)]


def offends(node):
    """Return whether a node is a bare reduction, a matrix product, a power, or a function of the C library."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult | ast.Pow):
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
        literal = sides and all(isinstance(side, ast.Constant) and type(side.value) is int for side in sides)
        return not literal
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in REDUCTIONS | LIBM
    if isinstance(node, ast.ImportFrom) and node.module in NUMERIC:
        return any(alias.name in REDUCTIONS | LIBM for alias in node.names)
    if isinstance(node, ast.Attribute):
        *owners, last = names(node)
        if owners[0] in NUMERIC:
            return last in REDUCTIONS | LIBM or (last == "reduce" and owners[-1] == "add")
        return last in REDUCTIONS and not EXACT_OWNERS & set(owners)
    return False


def offences(source, exempt=frozenset()):
    """Return the lines that offend; `# lint: integer sum` at the end of a line exempts it: it adds integers only."""
    lines, found = source.splitlines(), []

    def visit(node, scope):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            scope = f"{scope}.{node.name}" if scope else node.name
            if scope in exempt:
                return
        if offends(node) and "# lint: integer sum" not in lines[node.lineno - 1]:
            found.append(f"{node.lineno}: {lines[node.lineno - 1].strip()}")
        for child in ast.iter_child_nodes(node):
            visit(child, scope)

    visit(ast.parse(source), "")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_exact_path_has_no_bare_reduction_and_no_libm(path):
    exempt = EXEMPT.get(path.relative_to(ROOT).as_posix(), frozenset())
    assert exempt is None or offences(path.read_text(encoding="utf-8"), exempt) == []


@pytest.mark.parametrize(
    "line",
    ["a @ b", "x.sum()", "x.mean(axis=0)", "np.add.reduce(x)", "np.dot(a, b)", "np.exp(x)", "math.cos(x)", "x ** 2",
     "np.linalg.norm(x)", "pow(x, 2)", "loss.values.mean()", "np.einsum('ij->i', x)", "math.log(2)", "sum(x)",
     "2 ** x", "exp(x)", "numpy.exp(x)", "self.targets.mean()", "np.add.accumulate(x)", "operator.pow(x, 2)"],
)  # fmt: skip
def test_the_check_finds_it(line):
    assert len(offences(f"y = {line}")) == 1


def test_the_check_finds_an_import():
    assert len(offences("from math import exp")) == 1


LAYERS = [  # a package imports only from those before it
    {"io"},
    {"numerics"},
    {"backends", "data"},
    {"preparation", "learning"},
    {"teachers", "deployment", "evaluation"},
    {"reporting"},
    {"page", "estimator"},
    {"pipeline"},
    {"stages"},
]


def layer(package):
    return next(k for k, packages in enumerate(LAYERS) if package in packages)


def modules():
    """Return {dotted name: (package, names of the modules that it imports)}, without `__init__` and `__main__`."""
    paths = [path for path in SOURCES if path.stem not in ("__init__", "__main__")]
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        imported = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                imported |= {name if name in known else node.module for name in names}
        package = parts[0] if parts[0] == "stages" else parts[1]
        found[".".join(parts)] = package, {name for name in imported if name.split(".")[0] in ("kdlib", "stages")}
    return found


def test_imports_point_down():
    for name, (package, imported) in modules().items():
        for other in imported:
            below = other.split(".")[0] if other.startswith("stages") else other.split(".")[1]
            assert below == package or layer(below) < layer(package), f"{name} imports {other}"


def test_evaluation_trains_nothing():
    """Nor does reporting: what they measure depends on no optimizer."""
    trains = {"kdlib.learning.training", "kdlib.learning.optimizers", "kdlib.learning.recipe"}
    for name, (package, imported) in modules().items():
        assert package not in ("evaluation", "reporting") or not imported & trains, name


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: imported for name, (_, imported) in modules().items()}
    while graph:
        leaves = [name for name, imported in graph.items() if not imported & graph.keys()]
        assert leaves, f"a cycle among {sorted(graph)}"
        for name in leaves:
            del graph[name]


OPTIONAL = {
    "threads": {"threadpoolctl"},
    "code_folder": {"llvmlite"},
    "kept": {"numba"},
    "scalars": {"numba"},
    "parquet": {"pyarrow"},
    "classifiers": {"sklearn"},
    "fitting": {"sklearn"},
    "decoding": {"pandas"},
    "estimator": {"sklearn"},
    "__main__": {"stages"},
    "build_wheel": {"setuptools"},
}
FREE_PACKAGES = {"preparation", "pipeline"}  # packages that may need what the pipeline installs


def test_only_stages_the_pipeline_and_preparation_need_more_than_numpy():
    allowed = sys.stdlib_module_names | {"numpy", "kdlib"}
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] == "stages" or path.parent.name in FREE_PACKAGES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            extra = {name.split(".")[0] for name in names if name} - allowed
            assert extra <= OPTIONAL.get(path.stem, set()), path


@pytest.mark.parametrize(
    "path", [*SOURCES, *sorted(ROOT.glob("kdlib/page/web/*.mjs"))], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_a_module_has_400_lines_at_most(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def parameters_of(node):
    """Return the names that "Parameters" of a function's or a class's docstring has to list, in their order.

    A class without a constructor is a dataclass, or inherits the constructor: then its public fields are returned.
    """
    if isinstance(node, ast.ClassDef):
        constructors = [child for child in node.body if getattr(child, "name", "") == "__init__"]
        if not constructors:
            fields = [child for child in node.body if isinstance(child, ast.AnnAssign)]
            given = [child for child in fields if "init=False" not in ast.unparse(child)]
            return [child.target.id for child in given if not child.target.id.startswith("_")]
        node = constructors[0]
    given = node.args
    arguments = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [argument.arg for argument in arguments if argument and argument.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documented_parameters_are_the_real_ones(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            section = re.search(r"(?ms)^Parameters\n-+\n(.*?)(\n\n\w|\Z)", ast.get_docstring(node) or "")
            if section:
                heads = re.findall(r"(?m)^\*{0,2}\w[^:\n]*", section[1])
                documented = [name.strip(" *") for head in heads for name in head.split(",")]
                assert documented == parameters_of(node), node.name


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("kdlib", "stages"):
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert [name for name in missing if importlib.util.find_spec(f"{node.module}.{name}") is None] == []


def test_the_top_level_is_short():
    """Entries that git tracks and that `ls` shows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len({path.split("/")[0] for path in listed.split("\n") if path and path[0] != "."}) <= 20
