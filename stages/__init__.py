"""The stages of the pipeline: scripts that read parameters and files, call `kdlib` and write files."""

from kdlib.pipeline import interrupts  # noqa: F401 - an interrupt of an import ends in a line from here on
