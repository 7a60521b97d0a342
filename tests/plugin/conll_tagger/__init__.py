"""A task in a package of its own: words tagged with a label each, from CoNLL-like files."""

from conll_tagger.data import ConllFiles
from conll_tagger.model import WordTagger

__all__ = ["ConllFiles", "WordTagger"]
