"""Loggers, callbacks and learning-rate schedules for the Trainer."""

from rnn_lab.io.run_files import read_metrics
from rnn_lab.training.averaging import NTASGD, SWACheckpoint
from rnn_lab.training.budget import TimeBudget
from rnn_lab.training.callbacks import (
    BestCheckpoint,
    GradNormAndLRMonitor,
    TerminateOnNaN,
    ValidationEarlyStopping,
    checkpoint_callback_of,
)
from rnn_lab.training.checkpoints import AtomicCheckpointIO
from rnn_lab.training.completion import Completion
from rnn_lab.training.cost import CostRecord
from rnn_lab.training.epoch_number import EpochNumber
from rnn_lab.training.items import ItemReport
from rnn_lab.training.kernel_record import KernelRecord
from rnn_lab.training.launch import check_world_size
from rnn_lab.training.loggers import (
    CSVMetricsLogger,
    configure_loggers,
)
from rnn_lab.training.mid_epoch import (
    AccumulatedGradients,
    ResumeMidEpoch,
    ResumePlateau,
    ResumeSWA,
)
from rnn_lab.training.preemption import Preemption
from rnn_lab.training.progress_bar import BatchProgressBar
from rnn_lab.training.reports import LearningCurves
from rnn_lab.training.rng_state import RNGStateCheckpoint
from rnn_lab.training.schedules import CosineDecay, LinearDecay
from rnn_lab.training.small_data import SmallDataWarning
from rnn_lab.training.status_file import StatusFile
from rnn_lab.training.unused_hooks import NoProfiler, SkipUnusedHooks
from rnn_lab.training.wandb_logger import OfflineWandbLogger

__all__ = [
    "NTASGD",
    "AccumulatedGradients",
    "AtomicCheckpointIO",
    "BatchProgressBar",
    "BestCheckpoint",
    "CSVMetricsLogger",
    "Completion",
    "CosineDecay",
    "CostRecord",
    "EpochNumber",
    "GradNormAndLRMonitor",
    "ItemReport",
    "KernelRecord",
    "LearningCurves",
    "LinearDecay",
    "NoProfiler",
    "OfflineWandbLogger",
    "Preemption",
    "RNGStateCheckpoint",
    "ResumeMidEpoch",
    "ResumePlateau",
    "ResumeSWA",
    "SWACheckpoint",
    "SkipUnusedHooks",
    "SmallDataWarning",
    "StatusFile",
    "TerminateOnNaN",
    "TimeBudget",
    "ValidationEarlyStopping",
    "check_world_size",
    "checkpoint_callback_of",
    "configure_loggers",
    "read_metrics",
]
