"""Regression: predict numbers from each sequence."""
