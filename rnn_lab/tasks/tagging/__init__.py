"""Sequence tagging: classify each step of a sequence."""
