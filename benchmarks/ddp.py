"""PyTorch's DistributedDataParallel, by gloo, on the rows and batches of `benchmarks.ranks`: a process is a rank."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from kdlib.backends.ranks import Ranks
from kdlib.io.artifacts import write_npz

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, BATCH, RATE = 20, 64, 0.2
SHOWN = 12  # digits of a hash


def train(rank, size, folder):
    """One rank of PyTorch's; the first prints the hash of the parameters."""
    import numpy as np
    import torch
    from torch import distributed, nn

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.manual_seed(0)
    dataset = np.load(f"{folder}/rows.npz")
    x, y = torch.tensor(dataset["x"], dtype=torch.float32), torch.tensor(dataset["y"], dtype=torch.int64)
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    model = nn.parallel.DistributedDataParallel(network)
    optimizer, ranks = torch.optim.SGD(model.parameters(), RATE, momentum=0.9), Ranks(rank, size, None)
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        rows = order.permutation(len(x))
        for start in range(0, len(x), BATCH):
            batch = rows[start : start + BATCH]
            own = batch[ranks.share(len(batch))]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[own]), y[own], reduction="sum")
            (loss * size / len(batch)).backward()  # the gradients' mean over the ranks is that of the whole batch
            optimizer.step()
    if rank == 0:
        print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in network.parameters())).hexdigest()[:SHOWN])
    distributed.destroy_process_group()


def hashed_by_torch(count):
    """Hash of what so many ranks of PyTorch train."""
    from sklearn.datasets import load_digits

    with tempfile.TemporaryDirectory() as folder:
        x, y = load_digits(return_X_y=True)
        write_npz(f"{folder}/rows.npz", {"x": x[:1437] / 16, "y": y[:1437]})
        command, options = [sys.executable, "-m", "benchmarks.ddp", folder, str(count)], {"cwd": ROOT, "text": True}
        processes = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)
            for rank in range(count)
        ]
        told = [process.communicate(timeout=300)[0] for process in processes]
    return told[0].strip()


if __name__ == "__main__":
    train(int(sys.argv[3]), int(sys.argv[2]), sys.argv[1])
