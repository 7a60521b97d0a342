"""A task in a separate package: tag the words of CoNLL-like files."""

from conll_tagger.data import ConllFiles
from conll_tagger.model import WordTagger

__all__ = ["ConllFiles", "WordTagger"]
