"""The stages of the pipeline: scripts that read parameters and files, call `kdlib` and write files."""

STAGES = ("prepare", "train_teacher", "train_baseline", "distill", "deploy", "evaluate", "page")  # as in dvc.yaml
