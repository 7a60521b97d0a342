"""Reports of a language model: text that it generates, and likelihoods of the test split."""

import csv
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path, atomic_write
from rnn_lab.io.run_files import ITEMS
from rnn_lab.nn.seq2seq.hypotheses import DecodingRules
from rnn_lab.nn.seq2seq.search import sample_decode
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.language_modeling.generation import PromptDecoder
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.training.epoch_number import epoch_number
from rnn_lab.training.reports import (
    gather_from_all_ranks,
    get_datamodule,
    is_dry_run,
    log_table,
    report_path,
    should_write,
)

BLOCK = 1000  # targets


class GenerationReport(Callback):
    """Sample texts after each validation of a fit, and write the latest to `generated.csv`.

    They begin after an end-of-line token. The samples have a generator of their own, so that
    training does not depend on them. Data without a tokenizer is ignored.

    Args:
        samples: Number of texts.
        max_new_tokens: Tokens of each text.

    Raises:
        UserError: If a number is less than 1.
    """

    COLUMNS = ("epoch", "sample", "text")

    def __init__(self, samples: int = 3, max_new_tokens: int = 50) -> None:
        for name, value in (("samples", samples), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise UserError(f"GenerationReport: {name} must be at least 1, got {value}")
        self.samples, self.max_new_tokens = samples, max_new_tokens

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        fits = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        tokenizer = getattr(get_datamodule(trainer), "tokenizer", None)
        if not (fits and should_write(trainer) and isinstance(tokenizer, LMTokenizer)):
            return
        texts = self._generate(pl_module, tokenizer)
        table = [[epoch_number(trainer), *pair] for pair in enumerate(texts, 1)]
        with atomic_write(report_path(trainer, "generated.csv")) as file:
            csv.writer(file).writerows([self.COLUMNS, *table])
        log_table(trainer, "val/generated", self.COLUMNS, table)

    @torch.no_grad()
    def _generate(self, task: Any, tokenizer: LMTokenizer) -> list[str]:
        training = task.training
        task.eval()
        (hypotheses,) = sample_decode(
            PromptDecoder(task),
            torch.tensor([[LINE_END]]),
            None,
            max_length=self.max_new_tokens,
            num_samples=self.samples,
            generator=torch.Generator().manual_seed(0),
            rules=DecodingRules(LINE_END, end=None, suppressed=(UNK_ID,)),
        )
        task.train(training)
        return [tokenizer.text(hypothesis.tokens) for hypothesis in hypotheses]


class BlockReport(Callback):
    """Write the negative log-likelihood of each block of the test split.

    A block is 1,000 consecutive targets of the text, the last one the rest. A row of
    `predictions.test.parquet` is a block: its number `row`, counted from 1, its `tokens` that were
    tested, and the sum of their negative log-likelihoods, `nll`, in nats. Blocks depend neither on
    the rows and segments into which a test cuts the text nor on the number of processes. Data that
    is not a `LabDataModule` is ignored.
    """

    def __init__(self) -> None:
        self._plan: list[Any] = []  # segments of each batch, in the order of the loader
        self._sums = np.zeros((0, 2))  # tokens and negative log-likelihood of each block

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with empty blocks."""
        data = get_datamodule(trainer)
        self._plan = []
        if is_dry_run(trainer) or not isinstance(data, LabDataModule):
            return
        self._plan = data.plan("test")
        self._sums = np.zeros((-(-(len(data.split("test")) - 1) // BLOCK), 2))

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the targets of a batch to their blocks."""
        if not self._plan:
            return
        segment = self._plan[batch_idx]
        places = segment.starts[:, None] + np.arange(segment.steps)
        real = places < segment.ends[:, None]
        losses = outputs.predictions.cpu().numpy()[real].astype(np.float64)
        np.add.at(self._sums, places[real] // BLOCK, np.stack([np.ones(len(losses)), losses], 1))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the blocks of all processes together."""
        if not self._plan:
            return
        sums = np.sum(gather_from_all_ranks(trainer, [self._sums]), 0)
        (blocks,) = sums[:, 0].nonzero()
        if not should_write(trainer):
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        tokens, nll = sums[blocks].T
        table = pa.table({"row": blocks + 1, "tokens": tokens.astype(np.int64), "nll": nll})
        path = report_path(trainer, ITEMS)
        try:
            with atomic_path(path) as part:
                pq.write_table(table, part)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
