"""Measurements of speed in turns, which `rnn-lab bench` runs."""
