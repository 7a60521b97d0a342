"""Report of a language model: text that it generates after each validation."""

import csv
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.nn.seq2seq.hypotheses import DecodingRules
from rnn_lab.nn.seq2seq.search import sample_decode
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.language_modeling.generation import PromptDecoder
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.training.epoch_number import epoch_number
from rnn_lab.training.reports import get_datamodule, log_table, report_path, should_write


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
