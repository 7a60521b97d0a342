"""Language models: one family over any recurrent layer, and the architectures that fix it."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, LockedDropout, build_layer, word_cross_entropy
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.state import State, change, parts
from rnn_lab.special_tokens import IGNORED
from rnn_lab.tasks.language_modeling.batch import LMBatch

States = tuple[State, ...]  # of each layer


class LanguageModel(Task):
    """Predict each word of a text from all words before it.

    The family of all language models, for comparisons and sweeps; the named architectures below
    fix most of its arguments. State goes on from batch to batch, gradients do not. `perplexity`
    and `bits` (per word, of text read by character per character) are of all words together. What
    activation regularization adds is minimized, but no part of any loss that is logged.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state of each layer; with tied embeddings of all but the last.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: What that layer takes by name beside its sizes.
        tied: Whether words are scored by the same vectors they are read by; the last layer is
            then as wide as these.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        input_dropout: Dropout of the words' features.
        layer_dropout: Dropout between recurrent layers.
        output_dropout: Dropout before the scores of the words.
        locked: Whether a row's dropout of features is the same at all steps of a batch.
        weight_drop: Share of the recurrent weights dropped, drawn for each batch.
        zoneout: Probability of a unit of the state to stay as it was.
        activation_regularization: Weight of the mean square of the last layer's output, after
            dropout.
        temporal_activation_regularization: Weight of the mean square of what that output changes
            by from step to step, before dropout.
        init_range: First word vectors are drawn evenly between minus and plus this.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        label_smoothing: Share of each target that is spread evenly, in training.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = LMBatch
    predictor = "rnn_lab.tasks.language_modeling.predictor.LanguagePredictor"
    monitor, mode = "val/perplexity", "min"

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 200,
        hidden_dim: int = 200,
        num_layers: int = 2,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        tied: bool = True,
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        output_dropout: float = 0.0,
        locked: bool = True,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        activation_regularization: float = 0.0,
        temporal_activation_regularization: float = 0.0,
        init_range: float = 0.1,
        initialization: Literal["recommended", "torch"] = "recommended",
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        sizes = {"embedding_dim": embedding_dim, "hidden_dim": hidden_dim, "num_layers": num_layers}
        check_sizes(self, vocab_size=vocab_size, **sizes)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be 0 to below 1, got {label_smoothing}")
        for name, value in (
            ("activation_regularization", activation_regularization),
            ("temporal_activation_regularization", temporal_activation_regularization),
            ("init_range", init_range),
        ):
            if not value >= 0:
                raise UserError(f"{name} must be at least 0, got {value}")
        self.label_smoothing = label_smoothing
        self.activation_regularization = activation_regularization
        self.temporal_activation_regularization = temporal_activation_regularization
        drop: type[nn.Module] = LockedDropout if locked else nn.Dropout
        options = dict(layer_kwargs or {})
        options |= {"weight_drop": weight_drop} if weight_drop else {}
        options |= {"zoneout": zoneout} if zoneout else {}
        widths = [hidden_dim] * num_layers
        if tied:
            widths[-1] = embedding_dim
        try:
            self.embedding_dropout = EmbeddingDropout(embedding_dropout)
            self.input_dropout = drop(input_dropout)
            self.layer_dropout = drop(layer_dropout)
            self.output_dropout = drop(output_dropout)
            self.layers: list[Any] = nn.ModuleList(  # type: ignore[assignment]
                build_layer(layer, before, width, initialization=initialization, options=options)
                for before, width in zip([embedding_dim, *widths], widths, strict=False)
            )
        except ValueError as error:
            raise UserError(str(error)) from error
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.head = nn.Linear(widths[-1], vocab_size)
        nn.init.uniform_(self.embedding.weight, -init_range, init_range)
        nn.init.uniform_(self.head.weight, -init_range, init_range)
        nn.init.zeros_(self.head.bias)
        if tied:
            self.head.weight = self.embedding.weight
        self._carried: dict[str, States] = {}  # by stage: what the next batch goes on from
        self._penalty = torch.zeros(())
        self._share = 1.0

    def forward(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Score every next word.

        Args:
            tokens: Word ids, `(batch, time)`.
            state: What came before, of each layer as the layer has it; None: nothing.

        Returns:
            Unnormalized scores, `(batch, time, vocab_size)`, and the state after the last step.
        """
        output, state = self._read(tokens, state)
        return self._scored(self.output_dropout(output)), state

    def decode_step(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Read one word of every row, in evaluation.

        Args:
            tokens: Word ids, `(batch,)`.
            state: What came before, as in `forward`.

        Returns:
            Unnormalized scores of the next word, `(batch, vocab_size)`, and the state.
        """
        x = self.embedding(tokens)
        after = []
        for number, layer in enumerate(self.layers):
            x, final = layer.step(x, None if state is None else state[number])
            after.append(final)
        return self._scored(x), tuple(after)

    def _read(self, tokens: Tensor, state: States | None) -> tuple[Tensor, States]:
        """Give the last layer's output, `(batch, time, features)`, and the state after it."""
        x = self.input_dropout(self.embedding_dropout(self.embedding, tokens))
        after = []
        for number, layer in enumerate(self.layers):
            x = self.layer_dropout(x) if number else x
            x, final = layer(x, None, None if state is None else state[number])
            after.append(final)
        return x, tuple(after)

    def _scored(self, x: Tensor) -> Tensor:
        return linear(x, self.head.weight, self.head.bias)

    def step(self, batch: LMBatch) -> StepOutput:
        """Score a batch by cross-entropy, in evaluation in full precision; state is carried on."""
        if self.training:
            return self._score(batch, "train")
        testing = self._trainer is not None and self.trainer.testing
        with torch.autocast(self.device.type, enabled=False):
            return self._score(batch, "test" if testing else "val")

    def _score(self, batch: LMBatch, stage: str) -> StepOutput:
        output, state = self._read(batch.tokens, self._before(batch, stage))
        self._carried[stage] = tuple(change(each, torch.detach) for each in state)
        dropped = self.output_dropout(output)
        loss = word_cross_entropy(
            dropped,
            self.head.weight,
            self.head.bias,
            batch.targets,
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing if self.training else 0.0,
        )
        if self.training:
            self._penalty = self._penalized(output, dropped)
        return StepOutput(loss, (), (), int((batch.targets != IGNORED).sum()))

    def _before(self, batch: LMBatch, stage: str) -> States | None:
        """The state that a batch goes on from."""
        if batch.fresh or stage not in self._carried:
            return None
        before = self._carried[stage]
        rows = parts(before[0])[0].size(1)
        if rows != len(batch.tokens):
            raise UserError(
                f"{rows} texts were read so far, the batch has {len(batch.tokens)}: go on with "
                "the same batch_size"
            )
        return moved(before, batch.tokens.device)

    def _penalized(self, output: Tensor, dropped: Tensor) -> Tensor:
        """What activation regularization adds to the loss, a scalar."""
        penalty = output.new_zeros(())
        if self.activation_regularization:
            penalty = penalty + self.activation_regularization * dropped.square().mean()
        if self.temporal_activation_regularization and output.size(1) > 1:
            turns = (output[:, 1:] - output[:, :-1]).square().mean()
            penalty = penalty + self.temporal_activation_regularization * turns
        return penalty

    def log(self, *args: Any, **options: Any) -> None:
        """Log one number for a batch, whose size Lightning would look for in all of its parts."""
        super().log(*args, **{"batch_size": 1, **options})

    def training_step(self, batch: LMBatch, batch_idx: int) -> Tensor:
        """Score a batch as every task does, and add what activation regularization asks for."""
        loss = super().training_step(batch, batch_idx)
        return loss + self._penalty

    def on_train_batch_start(self, batch: LMBatch, batch_idx: int) -> None:
        """Note how long the batch is."""
        self._share = batch.weight

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Take a step whose length follows that of the batch, where it varies."""
        rates = [group["lr"] for group in optimizer.param_groups]
        try:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._share
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Nothing: all that is measured follows from the loss."""
        return {}

    def _log_metrics(self, stage: str) -> None:
        """Log perplexity and bits too, over all words of all processes."""
        super()._log_metrics(stage)
        loss = self.losses[stage].compute()
        for name, value in (("perplexity", loss.exp()), ("bits", loss / math.log(2))):
            self.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the next training batch goes on from, in every process."""
        super().on_save_checkpoint(checkpoint)
        if "train" not in self._carried:
            return
        mine = moved(self._carried["train"], torch.device("cpu"))
        states = [mine]
        if self._trainer is not None and self.trainer.world_size > 1:
            states = [mine] * self.trainer.world_size
            torch.distributed.all_gather_object(states, mine)
        checkpoint["stream_states"] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what the next training batch goes on from, if as many processes go on."""
        super().on_load_checkpoint(checkpoint)
        states = checkpoint.get("stream_states", [])
        if self._trainer is not None and len(states) == self.trainer.world_size:
            self._carried["train"] = states[self.trainer.global_rank]


def moved(states: States, device: torch.device) -> States:
    """Move the states of all layers to a device."""
    return tuple(change(each, lambda part: part.to(device)) for each in states)


class LSTMLanguageModel(LanguageModel):
    """Predict the next word by layers of LSTM, with dropout on all that is not recurrent.

    Source: Zaremba et al. (2014), https://arxiv.org/abs/1409.2329.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state of each layer; with tied embeddings of all but the last.
        num_layers: Layers on top of each other.
        dropout: Dropout of word vectors, between layers and before the scores.
        tied: Whether words are scored by the same vectors they are read by.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 200,
        hidden_dim: int = 200,
        num_layers: int = 2,
        *,
        dropout: float = 0.2,
        tied: bool = True,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers,
            tied=tied,
            input_dropout=dropout,
            layer_dropout=dropout,
            output_dropout=dropout,
            locked=False,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class AWDLSTM(LanguageModel):
    """Predict the next word by LSTMs whose recurrent weights, words and features are dropped.

    The dropouts are those of the paper on WikiText-2 for layers of 1150 units; smaller models need
    less of it, all by one factor.

    Source: Merity et al. (2018), https://arxiv.org/abs/1708.02182.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word, and of the last layer.
        hidden_dim: Features of the state of all other layers.
        num_layers: Layers on top of each other.
        dropout_factor: What all five dropouts are multiplied by.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        input_dropout: Dropout of the words' features.
        layer_dropout: Dropout between layers.
        output_dropout: Dropout before the scores of the words.
        weight_drop: Share of the recurrent weights dropped.
        activation_regularization: See `LanguageModel`.
        temporal_activation_regularization: See `LanguageModel`.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 400,
        hidden_dim: int = 1150,
        num_layers: int = 3,
        *,
        dropout_factor: float = 1.0,
        embedding_dropout: float = 0.1,
        input_dropout: float = 0.65,
        layer_dropout: float = 0.2,
        output_dropout: float = 0.4,
        weight_drop: float = 0.5,
        activation_regularization: float = 2.0,
        temporal_activation_regularization: float = 1.0,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers,
            embedding_dropout=embedding_dropout * dropout_factor,
            input_dropout=input_dropout * dropout_factor,
            layer_dropout=layer_dropout * dropout_factor,
            output_dropout=output_dropout * dropout_factor,
            weight_drop=weight_drop * dropout_factor,
            activation_regularization=activation_regularization,
            temporal_activation_regularization=temporal_activation_regularization,
            optimizer=optimizer,
            scheduler=scheduler,
        )
