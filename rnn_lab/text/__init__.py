"""What all tasks on text share: tokenizers, prepared corpora, generated reviews."""
