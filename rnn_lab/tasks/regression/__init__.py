"""Regression: numbers for each sequence."""
