"""Base class of language models."""

import logging
import math
from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, VariationalDropout, build_layer, linear_cross_entropy
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.precision import no_autocast
from rnn_lab.nn.functional.state import as_tuple, map_state
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.data import LanguageModelingDataModule
from rnn_lab.tasks.language_modeling.generation import States
from rnn_lab.tasks.language_modeling.options import ActivationRegularization, Dropouts
from rnn_lab.tasks.language_modeling.reports import BlockReport, GenerationReport

log = logging.getLogger(__name__)


class BaseLanguageModel(Task):
    """Predict each token of a text from all tokens before it.

    What makes an architecture is a class attribute. `LanguageModel` takes all of them as
    arguments. The state of the last batch is the first state of the next (truncated
    backpropagation through time); gradients do not cross that border. `perplexity` and
    `bits_per_token` (`bits_per_character`, if tokens are characters) are computed over all tokens.
    Activation regularization is minimized, but is not part of the logged losses.

    Args:
        vocab_size: Number of tokens in the vocabulary.
        embedding_dim: Features of an embedded token.
        hidden_dim: Units of each layer; with tied embeddings of all but the last.
        num_layers: Number of stacked recurrent layers.
        drop_mult: Factor by which all dropout probabilities of the architecture are multiplied.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Its further arguments by name.
        tie_embeddings: If True, the linear layer and the embedding share their weights; the last
            layer then has `embedding_dim` units.
        dropouts: Dropout probabilities.
        regularization: Weights of activation regularization.
        init_range: Embedding and linear layer are initialized uniformly between minus and plus
            this.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        label_smoothing: Label smoothing epsilon, in training.

    Raises:
        UserError: If an argument is out of range, or the data does not provide a size.
    """

    batch_type = LMBatch
    predictor = "rnn_lab.tasks.language_modeling.predictor.LanguagePredictor"
    commands = "generate", "predict"
    monitor, mode = "val/perplexity", "min"

    layer_kwargs: dict[str, Any] | None = None
    tie_embeddings: bool = True
    dropouts: Dropouts = Dropouts()
    regularization: ActivationRegularization = ActivationRegularization()
    init_range: float = 0.1
    initialization: Literal["recommended", "torch"] = "recommended"
    label_smoothing: float = 0.0

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 200,
        hidden_dim: int = 200,
        num_layers: int = 2,
        *,
        drop_mult: float = 1.0,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        sizes = {"vocab_size": vocab_size, "embedding_dim": embedding_dim, "hidden_dim": hidden_dim}
        check_sizes(self, **sizes, num_layers=num_layers)
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing must be 0 to below 1, got {self.label_smoothing}")
        if not self.init_range >= 0:
            raise UserError(f"init_range must be at least 0, got {self.init_range}")
        if not drop_mult >= 0:
            raise UserError(f"drop_mult must be at least 0, got {drop_mult}")
        self.hidden_dim, self.embedding_dim = hidden_dim, embedding_dim
        widths = [hidden_dim] * num_layers
        if self.tie_embeddings:
            widths[-1] = embedding_dim
        try:
            self._build_layers([embedding_dim, *widths], self.dropouts.scaled(drop_mult))
        except ValueError as error:
            raise UserError(str(error)) from error
        self._build_embeddings(vocab_size, embedding_dim, widths[-1])
        self._carried: dict[str, States] = {}  # by stage: the state after the last batch
        self._penalty = torch.zeros(())
        self._lr_scale = 1.0
        self._bits_per_unit = "bits_per_token"

    def setup(self, stage: str) -> None:
        """Name the bits after what the tokens of the data are."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)  # None with data loaders
        characters = isinstance(data, LanguageModelingDataModule) and (
            data.tokenizer.unit == "character"
        )
        self._bits_per_unit = "bits_per_character" if characters else "bits_per_token"

    def on_fit_start(self) -> None:
        """Log the size of the last layer if it is not `hidden_dim`."""
        if self.tie_embeddings and self.hidden_dim != self.embedding_dim:
            log.info(
                "the last layer has %d units (embedding_dim), not %d (hidden_dim), because "
                "the embeddings are tied",
                self.embedding_dim,
                self.hidden_dim,
            )

    def _build_layers(self, widths: list[int], dropouts: Dropouts) -> None:
        dropout: type[nn.Module] = VariationalDropout if dropouts.variational else nn.Dropout
        options = {**(self.layer_kwargs or {}), **dropouts.of_layer()}
        self.embedding_dropout = EmbeddingDropout(dropouts.embedding)
        self.input_dropout = dropout(dropouts.input)
        self.layer_dropout = dropout(dropouts.layer)
        self.output_dropout = dropout(dropouts.output)
        self.layers: list[Any] = nn.ModuleList(  # type: ignore[assignment]  # used as a list
            build_layer(
                self.layer, *sizes, initialization=self.initialization, options=dict(options)
            )
            for sizes in pairwise(widths)
        )

    def _build_embeddings(self, vocab_size: int, embedding_dim: int, output_size: int) -> None:
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.head = nn.Linear(output_size, vocab_size)
        nn.init.uniform_(self.embedding.weight, -self.init_range, self.init_range)
        nn.init.uniform_(self.head.weight, -self.init_range, self.init_range)
        nn.init.zeros_(self.head.bias)
        if self.tie_embeddings:
            self.head.weight = self.embedding.weight

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    def forward(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Score the next token at every step.

        Args:
            tokens: Token ids, `(batch, time)`.
            state: State of each layer before the first step; None: the layers' initial states.

        Returns:
            Unnormalized scores, `(batch, time, vocab_size)`, and the state after the last step.
        """
        output, state = self._features(tokens, state)
        return self._logits(self.output_dropout(output)), state

    def decode_step(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Read one token of every row, in evaluation.

        Args:
            tokens: Token ids, `(batch,)`.
            state: State before the step, as in `forward`.

        Returns:
            Unnormalized scores of the next token, `(batch, vocab_size)`, and the state after it.
        """
        x = self.embedding(tokens)
        after = []
        for number, layer in enumerate(self.layers):
            x, final = layer.step(x, None if state is None else state[number])
            after.append(final)
        return self._logits(x), tuple(after)

    def _features(self, tokens: Tensor, state: States | None) -> tuple[Tensor, States]:
        """Return the last layer's output, `(batch, time, features)`, and the state after it."""
        x = self.input_dropout(self.embedding_dropout(self.embedding, tokens))
        after = []
        for number, layer in enumerate(self.layers):
            x = self.layer_dropout(x) if number else x
            x, final = layer(x, None, None if state is None else state[number])
            after.append(final)
        return x, tuple(after)

    def _logits(self, x: Tensor) -> Tensor:
        return linear(x, self.head.weight, self.head.bias)

    def step(self, batch: LMBatch) -> StepOutput:
        """Compute the cross-entropy of a batch, in evaluation in full precision.

        The state after the batch is stored as the first state of the next batch. The predictions of
        a test are the negative log-likelihoods of the targets, `(batch, time)`.
        """
        if self.training:
            return self._compute_loss(batch, "train")
        testing = self._trainer is not None and self.trainer.testing
        with no_autocast(self.device):
            return self._compute_loss(batch, "test" if testing else "val")

    def _compute_loss(self, batch: LMBatch, stage: str) -> StepOutput:
        output, state = self._features(batch.tokens, self._initial_state(batch, stage))
        self._carried[stage] = tuple(map_state(each, torch.detach) for each in state)
        dropped = self.output_dropout(output)
        losses = None
        if stage == "test":
            losses = torch.zeros(batch.targets.shape, device=batch.targets.device)
        loss = linear_cross_entropy(
            dropped,
            self.head.weight,
            self.head.bias,
            batch.targets,
            ignore_index=IGNORE_INDEX,
            label_smoothing=self.label_smoothing if self.training else 0.0,
            losses=losses,
        )
        if self.training:
            self._penalty = self._activation_penalty(output, dropped)
        predictions = () if losses is None else losses
        return StepOutput(loss, predictions, (), (batch.targets != IGNORE_INDEX).sum())

    def _initial_state(self, batch: LMBatch, stage: str) -> States | None:
        """Return the state before the first step of a batch."""
        if batch.reset_state or stage not in self._carried:
            return None
        state = self._carried[stage]
        rows = as_tuple(state[0])[0].size(1)
        if rows != len(batch.tokens):
            raise UserError(
                f"the last batch had {rows} rows, this one has {len(batch.tokens)}: resume with "
                "the same batch_size"
            )
        return to_device(state, batch.tokens.device)

    def _activation_penalty(self, output: Tensor, dropped: Tensor) -> Tensor:
        """Compute the activation regularization, a scalar."""
        penalty, weights = output.new_zeros(()), self.regularization
        if weights.activation:
            penalty = penalty + weights.activation * dropped.square().mean()
        if weights.temporal and output.size(1) > 1:
            differences = output[:, 1:] - output[:, :-1]
            penalty = penalty + weights.temporal * differences.square().mean()
        return penalty

    def log(self, *args: Any, **options: Any) -> None:
        """Log a value with batch size 1, which Lightning would otherwise search in the batch."""
        super().log(*args, **{"batch_size": 1, **options})

    def training_step(self, batch: LMBatch, batch_idx: int) -> Tensor:
        """Compute and log the loss as every task does, and add the activation regularization."""
        loss = super().training_step(batch, batch_idx)
        penalty, self._penalty = self._penalty, torch.zeros(())  # a kept graph cannot be copied
        return loss + penalty

    def on_train_batch_start(self, batch: LMBatch, batch_idx: int) -> None:
        """Remember the factor of the learning rate that belongs to the batch."""
        self._lr_scale = batch.lr_scale

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Take an optimizer step at the learning rate times the batch's `lr_scale`."""
        rates = [group["lr"] for group in optimizer.param_groups]
        try:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._lr_scale
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def reports(self) -> list[Callback]:
        """Return the reports: generated text, and likelihoods of blocks of the test split."""
        return [GenerationReport(), BlockReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Return no metric: all that is logged is computed from the loss."""
        return {}

    def _log_metrics(self, stage: str) -> None:
        """Log also perplexity and bits per token, over all tokens of all processes."""
        super()._log_metrics(stage)
        loss = self.losses[stage].compute()
        metrics = {"perplexity": loss.exp(), self._bits_per_unit: loss / math.log(2)}
        for name, value in metrics.items():
            self.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recurrent state of every process, from which the next batch continues."""
        super().on_save_checkpoint(checkpoint)
        if "train" not in self._carried:
            return
        mine = to_device(self._carried["train"], torch.device("cpu"))
        states = [mine]
        if self._trainer is not None and self.trainer.world_size > 1:
            states = [mine] * self.trainer.world_size
            torch.distributed.all_gather_object(states, mine)
        checkpoint["recurrent_states"] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the recurrent state, if the number of processes is the same."""
        super().on_load_checkpoint(checkpoint)
        states = checkpoint.get("recurrent_states", [])
        if self._trainer is not None and len(states) == self.trainer.world_size:
            self._carried["train"] = states[self.trainer.global_rank]


def to_device(states: States, device: torch.device) -> States:
    """Move the states of all layers to a device."""
    return tuple(map_state(each, lambda part: part.to(device)) for each in states)
