"""What a time depends on: the machine, the BLAS kernel and the versions."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np

from benchmarks import UNSET

PACKAGES = ("numpy", "numba", "scikit-learn", "torch", "onnxruntime")


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas_kernel():
    """The BLAS that NumPy runs, the kernel that it chose for this CPU, and its threads."""
    np.ones((2, 2)) @ np.ones((2, 2))
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}, kernel unknown without threadpoolctl"
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in Path(pool["filepath"]).parent.name:
            kernel = pool.get("architecture", "unknown")
            return f"{pool['internal_api']} {pool['version']}, kernel {kernel}, {pool['num_threads']} threads"
    return "unknown"


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def describe():
    """{what: value}, strings and numbers. load: processes that wanted a core in the last minute; idle is below 0.2."""
    unset = ", ".join(f"{name}={value}" for name, value in UNSET.items())
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": blas_kernel(),
        "unset": unset or "nothing",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0,
        "date": datetime.date.today().isoformat(),
    }
