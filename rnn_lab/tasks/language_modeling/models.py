"""Language models: the configurable one and the named architectures."""

from typing import Any, Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from rnn_lab.core.options import as_options
from rnn_lab.tasks.language_modeling.base import BaseLanguageModel
from rnn_lab.tasks.language_modeling.options import ActivationRegularization, Dropouts


class LanguageModel(BaseLanguageModel):
    """Language model with any recurrent layer, dropout, regularization and tied embeddings.

    Args:
        vocab_size: Number of tokens in the vocabulary.
        embedding_dim: Features of an embedded token.
        hidden_dim: Units of each layer; with tied embeddings of all but the last.
        num_layers: Number of stacked recurrent layers.
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
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is out of range, or the data does not provide a size.
    """

    layer: str = "LSTM"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        vocab_size: int,
        embedding_dim: int = 200,
        hidden_dim: int = 200,
        num_layers: int = 2,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        tie_embeddings: bool = True,
        dropouts: Dropouts | None = None,
        regularization: ActivationRegularization | None = None,
        init_range: float = 0.1,
        initialization: Literal["recommended", "torch"] = "recommended",
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.layer_kwargs, self.tie_embeddings = layer, layer_kwargs, tie_embeddings
        self.dropouts = as_options(Dropouts, dropouts)
        self.regularization = as_options(ActivationRegularization, regularization)
        self.init_range, self.initialization = init_range, initialization
        self.label_smoothing = label_smoothing
        sizes = vocab_size, embedding_dim, hidden_dim, num_layers
        super().__init__(*sizes, optimizer=optimizer, scheduler=scheduler)


class LSTMLanguageModel(BaseLanguageModel):
    """LSTM language model with dropout on non-recurrent connections.

    Source: Zaremba et al. (2014), https://arxiv.org/abs/1409.2329.
    """

    layer, dropouts = "LSTM", Dropouts(input=0.2, layer=0.2, output=0.2, variational=False)


class AWDLSTM(BaseLanguageModel):
    """LSTM language model with weight-dropped recurrent connections and activation regularization.

    The dropout probabilities are those of the paper on WikiText-2, where `embedding_dim` is 400,
    `hidden_dim` 1150 and `num_layers` 3; smaller models need a smaller `drop_mult`.

    Source: Merity et al. (2018), https://arxiv.org/abs/1708.02182.
    """

    layer = "LSTM"
    dropouts = Dropouts(embedding=0.1, input=0.65, layer=0.2, output=0.4, weight_drop=0.5)
    regularization = ActivationRegularization(activation=2.0, temporal=1.0)
