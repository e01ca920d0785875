"""The stages of the pipeline: scripts that read parameters and files, call `kdlib` and write files."""

from kdlib.pipeline import interrupts  # noqa: F401 - from here on Ctrl-C during an import ends in one line
