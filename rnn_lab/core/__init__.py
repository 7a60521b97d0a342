"""What every task stands on: its base classes, checkpoints, samplers and generated data."""
