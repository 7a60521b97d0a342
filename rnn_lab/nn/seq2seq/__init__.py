"""Encoder-decoder models in plain PyTorch: attention, decoders, search and sampling."""
