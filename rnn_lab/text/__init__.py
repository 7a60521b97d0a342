"""Shared by all tasks on text: tokenizers, corpora, generated reviews."""
