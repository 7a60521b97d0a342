"""Hyperparameter search on Optuna: spaces, studies, and their results."""
