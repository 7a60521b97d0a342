"""Text classification: one or several labels for each text."""
