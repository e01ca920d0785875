"""What is tried: python search.py NAME STAGE [KEY=VALUE ...] trains, and adds its errors on validation to search.csv.

Of the 60,000 training images 5,000 are for validation; the test images are not looked at. A student names its teacher
by of=NAME.
"""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

DATASET, LOG, VALIDATION = "data/search.npz", Path("search.csv"), 5000
SPLIT = "prepare.train_ratio=0.77", "prepare.val_ratio=0.07"
OUTPUTS = {"train_teacher": "teacher", "train_baseline": "baseline", "distill": "student"}
COLUMNS = "name", "stage", "settings", "networks", "errors", "std", "nll"


def run(stage, settings, *paths):
    """Run a stage with these settings, KEY=VALUE, in place of those in params.yaml."""
    options = [option for setting in settings for option in ("--set", setting)]
    subprocess.run([sys.executable, "-m", f"stages.{stage}", *options, "--dataset", DATASET, *paths], check=True)


def measured(path):
    """(networks, mean errors on validation, their std or "", mean cross-entropy in nats) of a model's file."""
    with np.load(path) as model:
        (((accuracy,),), ((loss,),)) = model["sweep_accuracy"], model["sweep_loss"]  # of one split and one setting
    errors = VALIDATION * (1 - accuracy)
    std = round(errors.std(ddof=1), 1) if len(errors) > 1 else ""
    return len(errors), round(errors.mean(), 1), std, round(loss.mean(), 4)


def main(name, stage, *settings):
    path = Path(f"models/search_{name}.npz")
    if path.exists():
        sys.exit(f"{path} exists: another NAME, please")
    if not Path(DATASET).exists():
        run("prepare", SPLIT)
    taught = [setting for setting in settings if setting.startswith("of=")]
    teacher = [f"--teacher=models/search_{taught[0][3:]}.npz"] if taught else []
    run(stage, [setting for setting in settings if setting not in taught], f"--{OUTPUTS[stage]}={path}", *teacher)
    new = not LOG.exists()
    with LOG.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS] if new else [])
        of_bytes = [setting for setting in settings if not setting.startswith("execution.")]
        writer.writerow([name, stage, " ".join(of_bytes), *measured(path)])


if __name__ == "__main__":
    main(*sys.argv[1:])
