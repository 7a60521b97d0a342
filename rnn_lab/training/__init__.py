"""What the Trainer is given: loggers, callbacks, learning-rate schedules."""

from rnn_lab.training.averaging import TriggeredAveraging
from rnn_lab.training.budget import TimeBudget
from rnn_lab.training.callbacks import BestCheckpoint, Patience, Progress, StepMonitor, StopOnNaN
from rnn_lab.training.checkpoints import CutEpochs, WholeFiles
from rnn_lab.training.launch import check_launch
from rnn_lab.training.loggers import MetricsFile, WandbRun, place_loggers, read_metrics
from rnn_lab.training.preemption import Preemption
from rnn_lab.training.randomness import RandomState
from rnn_lab.training.reports import Curves
from rnn_lab.training.schedules import CosineDecay, LinearDecay
from rnn_lab.training.state import RunState

__all__ = [
    "BestCheckpoint",
    "CosineDecay",
    "Curves",
    "CutEpochs",
    "LinearDecay",
    "MetricsFile",
    "Patience",
    "Preemption",
    "Progress",
    "RandomState",
    "RunState",
    "StepMonitor",
    "StopOnNaN",
    "TimeBudget",
    "TriggeredAveraging",
    "WandbRun",
    "WholeFiles",
    "check_launch",
    "place_loggers",
    "read_metrics",
]
