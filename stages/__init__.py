"""The stages of the pipeline: scripts that read parameters and files, call `kdlib` and write files."""
