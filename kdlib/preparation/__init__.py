"""Preparation turns a source of examples into the dataset artifact, for the stage prepare."""
