"""`kdlib.BYTES` is another number where the same parameters give other bytes: the experiments depend on it."""

import hashlib

import yaml

import kdlib
from tests.conftest import ROOT

DIGITS = {
    2: "a10e261424587abeb3d14c68bbebda1f360c351cfa30ff8935353cc28edb2209"
}  # {BYTES: SHA-256 of what the digits' dvc.lock says of their .npz and of models/deployed}


def test_the_number_changes_with_the_outputs_of_the_digits():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text("utf-8"))
    outputs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    counted = [out for out in outputs if out["path"].endswith(".npz") or out["md5"].endswith(".dir")]
    hashes = sorted(f"{out['path']} {out['md5']}" for out in counted)
    found = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    assert DIGITS.get(kdlib.BYTES) == found, (
        "raise kdlib.BYTES, add its hash here, train the experiments again; if only the files for ONNX and C have"
        " changed, replace the hash"
    )
