"""Run the README's two commands as a new user does: `python .ci/readme.py`.

Both are taken from README.md as they are written, and run in a clone in an empty folder. The second one runs twice: in
the foreground, and with interrupts ignored, as a shell starts what runs in the background.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOREGROUND = signal.SIG_DFL
BACKGROUND = signal.SIG_IGN


def commands():
    """Return the README's blocks of shell commands that make an environment of their own, in their order."""
    return re.findall(r"^```sh\n(python3 -m venv .*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


def run(command, folder, interrupt):
    """Run `command` in `folder`, with what SIGINT does; end this process if it fails or changes what git tracks."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    where = "in the foreground" if interrupt is FOREGROUND else "in the background"
    print(f"-- {where}: {command.strip()}", flush=True)
    process = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
    )
    if process.returncode:
        sys.exit(f"error: the README's command failed with exit code {process.returncode}: {command.strip()}")
    left = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    if left.stdout:
        sys.exit(f"error: the README's command changed the clone: {left.stdout}")


def main():
    """Run both commands in a new clone."""
    if os.name == "nt":
        print("skipped: the README's commands are of a POSIX shell")
        return
    reproduce, test = commands()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        run(reproduce, clone, FOREGROUND)
        run(test, clone, FOREGROUND)
        run(test, clone, BACKGROUND)


if __name__ == "__main__":
    main()
