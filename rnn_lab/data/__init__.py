"""Data modules: from files to batches of like lengths."""

from rnn_lab.data.chapter import SentimentDataset, collate_variable_length
from rnn_lab.data.forecasting import ForecastDataModule, SyntheticSeries
from rnn_lab.data.known_pairs import Multi30k, Tatoeba
from rnn_lab.data.known_series import ETTh1, ETTh2, ETTm1, ETTm2, ExchangeRate
from rnn_lab.data.known_streams import TinyShakespeare, WikiText2
from rnn_lab.data.known_texts import IMDB, MR, R8, SST2, TREC, AGNews, Names
from rnn_lab.data.memory import AddingProblem, CopyMemory
from rnn_lab.data.module import LabDataModule
from rnn_lab.data.pairs import PairDataModule, ParallelFiles, SyntheticDates
from rnn_lab.data.series import SyntheticChirps
from rnn_lab.data.series_files import SeriesFiles
from rnn_lab.data.stream import StreamDataModule, SyntheticText, TextStream
from rnn_lab.data.text import SyntheticReviews, TextDataModule, TextFiles
from rnn_lab.data.uea import UEA, JapaneseVowels

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
    "ForecastDataModule",
    "JapaneseVowels",
    "LabDataModule",
    "Multi30k",
    "Names",
    "PairDataModule",
    "ParallelFiles",
    "SentimentDataset",
    "SeriesFiles",
    "StreamDataModule",
    "SyntheticChirps",
    "SyntheticDates",
    "SyntheticReviews",
    "SyntheticSeries",
    "SyntheticText",
    "Tatoeba",
    "TextDataModule",
    "TextFiles",
    "TextStream",
    "TinyShakespeare",
    "WikiText2",
    "collate_variable_length",
]
