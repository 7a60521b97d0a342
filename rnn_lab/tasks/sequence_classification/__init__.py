"""Sequence classification: one label for each sequence of feature vectors."""
