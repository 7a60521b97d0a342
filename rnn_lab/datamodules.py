"""All data modules: public datasets, generated data, and readers of your own files."""

from rnn_lab.tasks.forecasting.data import SyntheticSeries
from rnn_lab.tasks.forecasting.datasets import ETTh1, ETTh2, ETTm1, ETTm2, ExchangeRate
from rnn_lab.tasks.forecasting.files import ForecastingFiles
from rnn_lab.tasks.language_modeling.data import LanguageModelingFiles, SyntheticText
from rnn_lab.tasks.language_modeling.datasets import TinyShakespeare, WikiText2
from rnn_lab.tasks.regression.data import AddingProblem
from rnn_lab.tasks.sequence_classification.data import LabeledSeriesFiles, SyntheticChirps
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
    "AGNews",
    "AddingProblem",
    "CopyMemory",
    "ETTh1",
    "ETTh2",
    "ETTm1",
    "ETTm2",
    "ExchangeRate",
    "ForecastingFiles",
    "JapaneseVowels",
    "LabeledSeriesFiles",
    "LanguageModelingFiles",
    "Multi30k",
    "Names",
    "ParallelFiles",
    "SyntheticChirps",
    "SyntheticDates",
    "SyntheticReviews",
    "SyntheticSeries",
    "SyntheticText",
    "Tatoeba",
    "TextFiles",
    "TinyShakespeare",
    "WikiText2",
]
