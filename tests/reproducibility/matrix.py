"""Run the pipeline under each Python with the oldest and the newest NumPy, emulated too, and compare the bytes.

Each Python 3.10 to 3.14 on PATH or under pyenv gets two fresh virtual environments: one with the oldest NumPy that the
project supports and that has a wheel for this Python, one with the newest, which runs with NumPy's SIMD extensions
switched off too. Where qemu-aarch64-static or qemu-aarch64 is on PATH, an emulated aarch64 does the same with Debian's
Python and the wheels for aarch64, and where qemu-s390x-static or qemu-s390x is, a big-endian s390x with Debian's
Python, NumPy and scikit-learn, as there are no wheels of these; elsewhere they are skipped.

pip must reach a package index. To emulate, the machine must be a Debian that reaches its archive, with
    apt-get install qemu-user-static
Python is then downloaded by apt-get with a state of its own and unpacked, not installed: the machine's packages and
architectures stay as they are, and nothing needs root. All is done in a temporary folder.

With the newest NumPy and each of the versions in NUMBA, what numba compiles trains, under the newest Python that has
wheels of it.

Each environment runs the pipeline twice: on the parameters' dataset, and on images whose least pixel and whose classes
have zeros of both signs. The column of the latter is one hash of all files.

Prints a Markdown table of the first 12 digits of each file's SHA-256. The exit code is 0 if every environment ran and
all of them agree, else 1.
"""

import argparse
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("params.yaml")
OLDEST_NUMPY = {10: "1.26.0", 11: "1.26.0", 12: "1.26.0", 13: "2.1.0", 14: "2.3.2"}  # by Python 3's minor version
NUMBA = ("0.67.0", "0.68.1")
IMPORTED = ("numpy", "scikit-learn", "pyyaml", "pydantic", "tqdm")
DEBIAN = {"aarch64": "arm64", "s390x": "s390x"}  # what it calls an architecture
PACKAGES = {"aarch64": ["libstdc++6"], "s390x": ["python3-numpy", "python3-sklearn"]}
WITHOUT_WHEELS = {"aarch64": (), "s390x": ("numpy", "scikit-learn")}
ARTIFACTS = [f"{path}.npz" for path in ("data/dataset", "models/teacher", "models/baseline", "models/student")]
NAME = """
import importlib.util, platform as p, numpy
print(f'CPython {p.python_version()}, NumPy {numpy.__version__}, {p.machine()}', end='')
if importlib.util.find_spec('numba'):
    import numba
    print(f', numba {numba.__version__}')
"""
SIMD = """
try:
    from numpy._core import _multiarray_umath as u
except ImportError:
    from numpy.core import _multiarray_umath as u
print(*(name for name in u.__cpu_dispatch__ if u.__cpu_features__.get(name)))
"""


def progress(text):
    print(text, file=sys.stderr, flush=True)


def call(*command, **options):
    """The output of `command`. Raises CalledProcessError with all that it said on stdout and stderr as `output`."""
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "check": True, "encoding": "utf-8"}
    return subprocess.run([str(word) for word in command], **options).stdout


def pip_install(python, minor, age, *options, without=(), more=()):
    """Install what the stages import, and `more`, by the pip of `python`. age: of NumPy, `oldest` or `newest`."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    wanted = [line for line in lines if line.startswith(IMPORTED) and not line.startswith(tuple(without))]
    if age == "oldest":
        wanted.append(f"numpy=={OLDEST_NUMPY[minor]}")
    call(python, "-m", "pip", "install", "--only-binary=:all:", *options, *wanted, *more)


def makes_environments(python):
    """Whether it runs and has the modules: a shim of pyenv may not, and a distribution may split them off."""
    try:
        return call(python, "-c", "import ensurepip, venv") is not None
    except (OSError, subprocess.CalledProcessError):
        return False


def native(python, minor, age, folder, more=()):
    """Make a virtual environment in `folder`. Returns the command of its Python, and module paths that it needs."""
    call(python, "-m", "venv", folder)
    pip_install(folder / "bin/python", minor, age, more=more)
    return [folder / "bin/python"], []


@functools.cache
def debian(machine, folder):
    """Unpack Debian's Python for `machine` and its `PACKAGES` in `folder`. Returns the executable."""
    root = folder / "root"
    for path in (folder / "state/lists/partial", folder / "cache/archives/partial", root):
        path.mkdir(parents=True, exist_ok=True)
    own = [f"Dir::State={folder}/state", "Dir::State::status=/dev/null", f"Dir::Cache={folder}/cache"]
    architecture = DEBIAN[machine]
    settings = [
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        "Debug::NoLocking=true",
        *own,
    ]
    apt = ["apt-get", *(f"--option={setting}" for setting in settings)]
    call(*apt, "update")
    call(*apt, "install", "--yes", "--download-only", "--no-install-recommends", "python3", *PACKAGES[machine])
    for package in folder.glob("cache/archives/*.deb"):
        call("dpkg-deb", "--extract", package, root)
    if not (root / "lib").exists():  # newer releases have usr/lib alone, but programs name their loader /lib/ld-linux-*
        (root / "lib").symlink_to("usr/lib")
    return (root / "usr/bin/python3").resolve()


def emulated(qemu, machine, work, age, folder):
    """As `native`, for another machine: the wheels are unpacked in `folder`. work: what all ages share."""
    python = debian(machine, work / machine)
    version, root = python.name.removeprefix("python"), work / machine / "root"
    venv.create(work / "pip", with_pip=True)
    options = [f"--target={folder}", f"--python-version={version}"]
    options += [f"--platform=manylinux{version}_{machine}" for version in ("2014", "_2_17", "_2_27", "_2_28")]
    minor = int(version.split(".")[1])
    pip_install(work / "pip/bin/python", minor, age, *options, without=WITHOUT_WHEELS[machine])
    libraries = root.glob(f"usr/lib/{machine}-linux-gnu/*/lib*.so.3")  # BLAS and LAPACK, where no package links them
    search = ":".join(sorted({str(path.parent) for path in libraries}))
    settings = ["-E", f"LD_LIBRARY_PATH={search}"] if search else []
    return [qemu, "-L", root, *settings, python], [folder, root / "usr/lib/python3/dist-packages"]


def environments(work):
    """Yield (label, function that makes the environment in a folder)."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    newest = None
    for minor in OLDEST_NUMPY:
        candidates = [f"python3.{minor}", *sorted(pyenv.glob(f"3.{minor}.*/bin/python3.{minor}"))]
        python = next(filter(makes_environments, candidates), None)
        if python is None:
            progress(f"CPython 3.{minor} is skipped: it is not on PATH, and pyenv has none")
            continue
        newest = python, minor
        for age in ("oldest", "newest"):
            yield f"CPython 3.{minor}, {age} NumPy", functools.partial(native, python, minor, age)
    for version in NUMBA if newest else ():
        more = f"numba=={version}", "scipy"
        yield f"numba {version}", functools.partial(native, *newest, "newest", more=more)
    for machine in DEBIAN:
        qemu = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
        if qemu is None:
            progress(f"{machine} is skipped: qemu-{machine}-static is not on PATH, see --help")
            continue
        for age in ("newest",) if WITHOUT_WHEELS[machine] else ("oldest", "newest"):
            yield f"{machine}, {age} NumPy", functools.partial(emulated, qemu, machine, work, age)


def one_hash(texts):
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:12]


def hashes(folder):
    """{file: first digits of its SHA-256}, with one for all CSV and SVG files of metrics/ together."""
    contents = {name: (folder / name).read_bytes() for name in (*ARTIFACTS, "metrics/metrics.json")}
    leaving = [path for path in sorted((folder / "models").iterdir()) if f"models/{path.name}" not in contents]
    contents["what leaves"] = b"".join(path.name.encode() + path.read_bytes() for path in leaving)
    others = sorted(path for path in (folder / "metrics").iterdir() if path.suffix in (".csv", ".svg"))
    contents["metrics/*.csv, *.svg"] = b"".join(path.name.encode() + path.read_bytes() for path in others)
    return {name: hashlib.sha256(content).hexdigest()[:12] for name, content in contents.items()}


def signed_zeros(path):
    """Write images and classes in which zeros have both signs: which of them a minimum returns is the machine's."""
    random = np.random.default_rng(0)
    y = np.repeat([-1.0, 0.0, 1.0], 60)
    x = random.integers(0, 4, (180, 5, 6)) + 3.0 * (np.arange(30).reshape(5, 6) % 3 == y[:, None, None] + 1)
    x, y = (np.where(array == 0, np.copysign(0.0, random.random(array.shape) - 0.5), array) for array in (x, y))
    path.parent.mkdir(parents=True)
    np.savez(path, x=x, y=y)


def run_pipeline(command, module_paths, config, folder, disabled=""):
    """All stages in `folder`, made here. Returns (the environment's name for itself, `hashes`).

    disabled: names of NumPy's SIMD extensions that are not to be used.
    """
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    variables |= dict.fromkeys(("PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "PYTHONUTF8"), "1")
    variables["PYTHONPATH"] = os.pathsep.join(str(path) for path in (*module_paths, ROOT))
    variables["NPY_DISABLE_CPU_FEATURES"] = disabled
    signed_zeros(folder / "zeros/data/raw/own.npz")
    name = call(*command, "-c", NAME, env=variables, cwd=folder).strip().replace("x86_64", "x86-64")
    name += ", SIMD off" if disabled else ""
    progress(f"running under {name}")
    kernels = ["--set=execution.kernels=numba", "--set=logging.level=INFO"] if "numba" in name else []
    stages = [*command, "-m", "stages", "--config", config, *kernels]
    if "NumPy trains" in call(*stages, env=variables, cwd=folder):
        raise OSError("what numba compiles was not used")
    call(*stages, "--set=prepare.dataset=data/raw/own.npz", env=variables, cwd=folder / "zeros")
    return name, hashes(folder) | {"signed zeros": one_hash(hashes(folder / "zeros").values())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", default=CONFIG, help="the parameters (default: small ones)")
    parser.add_argument("--keep", metavar="FOLDER", help="a new folder, to keep there what each environment wrote")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        runs = Path(arguments.keep or work, "runs").resolve()
        for label, make in environments(Path(work)):
            progress(f"installing {label}")
            with tempfile.TemporaryDirectory(dir=work) as folder:
                try:
                    made, config = make(Path(folder)), Path(arguments.config).resolve()
                    rows.append(run_pipeline(*made, config, runs / label))
                    simd = call(*made[0], "-c", SIMD).strip() if label.startswith("CPython") else ""
                    if simd and "newest" in label:
                        rows.append(run_pipeline(*made, config, runs / f"{label}, no SIMD", simd))
                except (OSError, subprocess.CalledProcessError) as error:
                    progress(f"{label} failed: {error}\n{getattr(error, 'output', '')}")
                    rows.append((label, {}))
    columns = list(dict.fromkeys(column for _, row in rows for column in row))
    print("| environment |", " | ".join(columns), "|\n|" + " --- |" * (len(columns) + 1))
    for name, row in rows:
        print(f"| {name} |", " | ".join(row.get(column, "failed") for column in columns), "|")
    different = [column for column in columns if len({row.get(column) for _, row in rows}) > 1]
    if different or not columns:
        print(f"\n{len(rows)} environments: NOT all equal: {', '.join(different) or 'none ran'}")
        sys.exit(1)
    print(f"\n{len(rows)} environments: all equal")


if __name__ == "__main__":
    main()
