"""Base classes of tasks and data modules, checkpoints, samplers and generated data."""
