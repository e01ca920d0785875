r"""Run integer students in NumPy, ONNX Runtime and C, natively and emulated, and compare their logits bit for bit.

Students and rows are those of tests/clients/integer_students.py: all rows of two bundled datasets, and of MNIST, where
../shared/data/mnist.npz is, the 10,000 test images; besides them rows that saturate, and ties of the rounding. What a
machine lacks is left out; a Debian has all of it after
    apt-get install gcc clang gcc-aarch64-linux-gnu qemu-user-static gcc-arm-none-eabi libnewlib-arm-none-eabi \
        qemu-system-arm
and pip install -r benchmarks/requirements.txt.

Prints a Markdown table of the first 12 digits of the SHA-256 of classes and integer logits. The exit code is 0 if all
of them agree, else 1.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.clients.integer_students import cases, missing, runners  # noqa: E402


def main():
    columns, rows = cases(), []
    for name, (run, needs) in runners().items():
        if absent := missing(needs):
            print(f"{name} is skipped: no {absent[0]} here", file=sys.stderr)
            continue
        hashes = []
        for deployed, x in columns.values():
            with tempfile.TemporaryDirectory() as folder:
                hashes.append(hashlib.sha256(run(Path(folder), deployed, x).tobytes()).hexdigest()[:12])
        rows.append([name, *hashes])
    head = [f"{name}, {'-'.join(map(str, deployed.network.sizes))}" for name, (deployed, _) in columns.items()]
    for cells in (
        ["", *head],
        ["---"] * (len(head) + 1),
        ["rows", *(f"{len(x):,}" for _, x in columns.values())],
        *rows,
    ):
        print("|", " | ".join(cells), "|")
    same = all(len(set(column)) == 1 for column in list(zip(*rows, strict=True))[1:])
    print(f"\n{len(rows)} ways to run them: {'all equal' if same else 'NOT all equal'}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
