"""Language modeling: the next token of running text."""
