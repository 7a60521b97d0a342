"""The parser of all commands but those that train and test."""

from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin


class ConciseParser(ConciseErrorsMixin, ArgumentParser):
    """An argument parser with errors of one line."""
