"""Groups of options of translators."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class EncoderConfig:
    """Options of the encoder; None takes the value of the whole model.

    Args:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`; None: `layer` of the model.
        layer_kwargs: Its further arguments by name, such as `zoneout`.
        num_layers: Number of stacked recurrent layers; None: `num_layers` of the model.
        hidden_dim: Size of the hidden state in each direction; None: `hidden_dim` of the model,
            divided between the directions.
        bidirectional: If True, use bidirectional layers.
        layer_norm: If True, apply layer normalization to the embeddings and the output.
    """

    layer: str | None = None
    layer_kwargs: dict[str, Any] | None = None
    num_layers: int | None = None
    hidden_dim: int | None = None
    bidirectional: bool = True
    layer_norm: bool = False


@dataclass(frozen=True)
class DecoderConfig:
    """Options of the decoder: attention, output layer and initial state.

    Args:
        attention_position: Where attention is applied: `between` the recurrent layers, `before`
            them, `after` them, or `none`.
        attention: Score function: `additive`, `scaled_dot` or `general`.
        input_feeding: If True, the attentional state is part of the next step's input; only with
            attention after the layers.
        bridge: How the encoder's final state becomes the decoder's initial state: `dense` (a
            linear layer and tanh), `copy` or `zeros`; None: `copy` where the sizes are equal, else
            `dense`.
        readout_dim: Size of a tanh layer over output, context and embedding before the output
            layer; None: `embedding_dim` with tied embeddings, else no such layer (`hidden_dim`
            with attention after the layers).
        tie_embeddings: Embeddings that share the weights of the output layer: `none`, `decoder`,
            or `all` (the encoder's too, which needs a joint vocabulary).
        layer_norm: If True, apply layer normalization to the embeddings and the readout.
    """

    attention_position: Literal["none", "before", "between", "after"] = "between"
    attention: Literal["additive", "scaled_dot", "general"] = "additive"
    input_feeding: bool = False
    bridge: Literal["dense", "copy", "zeros"] | None = None
    readout_dim: int | None = None
    tie_embeddings: Literal["none", "decoder", "all"] = "none"
    layer_norm: bool = False
