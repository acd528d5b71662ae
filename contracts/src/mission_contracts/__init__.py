"""The floor that every part of Mission Control stands on: values, no I/O."""
