"""The resolved config of a run, saved with its results."""

from pathlib import Path
from typing import Any

import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from rnn_lab import training
from rnn_lab.commands._finders import check_search, record_found
from rnn_lab.training.runs import artifact_path, record_artifacts

RUN_SPECIFIC = ("name", "overwrite", "ckpt_path")  # keys that other runs should not reuse


class RunConfig(SaveConfigCallback):
    """Save the resolved config to the run directory and to the loggers.

    The config of `fit` can be reused for other runs (`-c config.yaml`): it contains neither the run
    directory nor the checkpoint. The config of `test` contains the path of the tested checkpoint.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the config before the first step."""
        if stage == "fit":
            check_search(trainer)
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the config again if callbacks have found a learning rate or a batch size."""
        if record_found(self.config, trainer, pl_module) and trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Write `config.yaml`, or `config.test.yaml` if a checkpoint is tested."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        stage = getattr(stage, "value", stage)
        if stage == "fit":
            name, metrics = "config.yaml", "metrics.csv"
            _remove_run(config)
        else:
            name, metrics = f"config.{stage}.yaml", f"metrics.{stage}.csv"
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        folder = Path(trainer.default_root_dir)
        artifact_path(folder, name).write_text(text, encoding="utf-8")
        record_artifacts(folder, metrics, "checkpoints", "wandb")
        for logger in trainer.loggers:
            if isinstance(logger, training.OfflineWandbLogger):
                logger.experiment.config.update(yaml.safe_load(text), allow_val_change=True)
            else:
                logger.log_hyperparams(yaml.safe_load(text))


def _remove_run(config: dict[str, Any]) -> None:
    """Remove the name, folders and checkpoint of a run, and its id on Weights & Biases."""
    for key in RUN_SPECIFIC:
        config.pop(key, None)
    config["trainer"].pop("default_root_dir", None)
    config["checkpoint"].pop("dirpath", None)
    loggers = config["trainer"]["logger"]
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if isinstance(logger, dict) and "init_args" in logger:  # a class may have no arguments
            logger["init_args"].pop("id", None)
