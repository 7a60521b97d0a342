"""Shared by all classification tasks: loss, metrics, reports."""
