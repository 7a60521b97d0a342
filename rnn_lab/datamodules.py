"""All data modules by name: public datasets, generated data, and readers of your own files."""

from rnn_lab.tasks.forecasting.data import SyntheticSeries
from rnn_lab.tasks.forecasting.datasets import ETTh1, ETTh2, ETTm1, ETTm2, ExchangeRate
from rnn_lab.tasks.forecasting.files import SeriesFiles
from rnn_lab.tasks.language_modeling.data import SyntheticText, TextStream
from rnn_lab.tasks.language_modeling.datasets import TinyShakespeare, WikiText2
from rnn_lab.tasks.regression.data import AddingProblem
from rnn_lab.tasks.sequence_classification.data import UEA, SyntheticChirps
from rnn_lab.tasks.sequence_classification.datasets import JapaneseVowels
from rnn_lab.tasks.tagging.data import CopyMemory
from rnn_lab.tasks.text_classification.data import SyntheticReviews, TextFiles
from rnn_lab.tasks.text_classification.datasets import IMDB, MR, R8, SST2, TREC, AGNews, Names
from rnn_lab.tasks.translation.data import ParallelFiles, SyntheticDates
from rnn_lab.tasks.translation.datasets import Multi30k, Tatoeba

__all__ = [
    "IMDB",
    "MR",
    "R8",
    "SST2",
    "TREC",
    "UEA",
    "AGNews",
    "AddingProblem",
    "CopyMemory",
    "ETTh1",
    "ETTh2",
    "ETTm1",
    "ETTm2",
    "ExchangeRate",
    "JapaneseVowels",
    "Multi30k",
    "Names",
    "ParallelFiles",
    "SeriesFiles",
    "SyntheticChirps",
    "SyntheticDates",
    "SyntheticReviews",
    "SyntheticSeries",
    "SyntheticText",
    "Tatoeba",
    "TextFiles",
    "TextStream",
    "TinyShakespeare",
    "WikiText2",
]
