"""From a checkpoint alone to answers: a task with the reader and writer it was trained with."""

from rnn_lab.inference.forecasts import ForecastPredictor
from rnn_lab.inference.language import LanguagePredictor
from rnn_lab.inference.loading import build, load, partners_of, restored
from rnn_lab.inference.predictor import TEXTS_AT_ONCE, Answer, Predictor
from rnn_lab.inference.series import SeriesPredictor
from rnn_lab.inference.texts import TextPredictor
from rnn_lab.inference.translations import TranslationPredictor

__all__ = [
    "TEXTS_AT_ONCE",
    "Answer",
    "ForecastPredictor",
    "LanguagePredictor",
    "Predictor",
    "SeriesPredictor",
    "TextPredictor",
    "TranslationPredictor",
    "build",
    "load",
    "partners_of",
    "restored",
]
