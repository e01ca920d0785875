"""Stage subsets: data/raw/mnist.npz -> data/raw/few.npz, of 200 images to train on, and files of others without labels.

few.npz has 1,200 training images, of which the stage prepare takes 1,000 for validation, and the test images.
"""

from pathlib import Path

import yaml

from kdlib.io.artifacts import read_npz, write_npz

FEW = 1200

if __name__ == "__main__":
    mnist = read_npz("data/raw/mnist.npz", ["x_train", "y_train", "x_test", "y_test"])
    first = {name: mnist[name][: FEW if "train" in name else None] for name in mnist}
    write_npz("data/raw/few.npz", first)
    for row in yaml.safe_load(Path("rows.yaml").read_text("utf-8"))["few"].values():
        if count := row["images"]:
            write_npz(f"data/raw/transfer_{count}.npz", {"x_unlabeled": mnist["x_train"][FEW : FEW + count]})
