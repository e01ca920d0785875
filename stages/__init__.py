"""The stages of the pipeline: scripts that read parameters and files, call `kdlib` and write files."""

STAGES = (  # those of dvc.yaml, in its order
    "prepare",
    "train_teacher",
    "train_baseline",
    "distill",
    "deploy",
    "evaluate",
    "page",
)
