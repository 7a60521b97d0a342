"""The resolved config of a run, written beside its results."""

from pathlib import Path
from typing import Any

import yaml
from lightning import Trainer
from lightning.pytorch.cli import SaveConfigCallback

from rnn_lab import training
from rnn_lab.training.runs import artifact_path, record_artifacts

OF_THIS_RUN = ("name", "overwrite", "ckpt_path")  # what the config of another run does not share


class RunConfig(SaveConfigCallback):
    """Writes the resolved config into the run's folder and gives it to the loggers.

    That of a fit is a recipe for further runs (`-c config.yaml`): it names neither the folder of
    this one nor its checkpoint. That of a test states which checkpoint was tested.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Write `config.yaml`, or `config.test.yaml` when a checkpoint is tested."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        stage = getattr(stage, "value", stage)
        if stage == "fit":
            name, metrics = "config.yaml", "metrics.csv"
            for key in OF_THIS_RUN:
                config.pop(key, None)
            config["trainer"].pop("default_root_dir", None)
        else:
            name, metrics = f"config.{stage}.yaml", f"metrics.{stage}.csv"
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        folder = Path(trainer.default_root_dir)
        artifact_path(folder, name).write_text(text, encoding="utf-8")
        record_artifacts(folder, metrics, "checkpoints", "wandb")
        for logger in trainer.loggers:
            if isinstance(logger, training.OfflineWandbLogger):
                logger.experiment.config.update(yaml.safe_load(text), allow_val_change=True)
