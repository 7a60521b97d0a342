"""The parser of commands that start without torch."""

from argparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin


class LightParser(ConciseErrorsMixin, ArgumentParser):
    """Argument parser of the standard library with errors of one line."""
