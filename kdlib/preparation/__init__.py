"""Preparation turns a source of examples into the dataset artifact; only the stage prepare uses it."""
