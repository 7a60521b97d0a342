"""Text generation: how the search of sequence-to-sequence models decodes a language model."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from rnn_lab.nn.functional.state import State

States = tuple[State, ...]  # one for each layer


class StepwiseModel(Protocol):
    """A language model that reads several tokens at once, or one after the other."""

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        ...

    def __call__(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Score the next token at every step, see `BaseLanguageModel.forward`."""
        ...

    def decode_step(self, tokens: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Read one token of every row, see `BaseLanguageModel.decode_step`."""
        ...


class PromptDecoder:
    """Present a language model to `rnn_lab.nn.seq2seq.search`: the source is the prompt.

    Logits are returned on the CPU in double precision, so that a seed gives the same samples on
    every device.

    Args:
        task: A trained language model, in evaluation mode.
    """

    def __init__(self, task: StepwiseModel) -> None:
        self.task = task

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[None, States | None]:
        """Read all tokens of a prompt but the last, which the search reads in its first step.

        Args:
            src: Token ids, `(1, time)`.
            lengths: Ignored: prompts are not padded.

        Returns:
            No memory, and the recurrent state; None if nothing was read.
        """
        if src.size(1) == 1:
            return None, None
        return None, self.task(src[:, :-1].to(self.task.device))[1]

    def decoder(
        self, tokens: Tensor, state: States | None, memory: Any
    ) -> tuple[Tensor, States, None]:
        """Read one token of each row, `(rows, 1)`, and score the next, `(rows, 1, vocab_size)`."""
        logits, state = self.task.decode_step(tokens.squeeze(1).to(self.task.device), state)
        return logits.double().cpu().unsqueeze(1), state, None


class StopString:
    """Stopping criterion: a sample is complete when the text generated for it has a given string.

    Args:
        to_text: Turn the generated ids of one sample into text.
        stop: The string.
        num_samples: Number of samples.
    """

    def __init__(self, to_text: Callable[[list[int]], str], stop: str, num_samples: int) -> None:
        self.to_text, self.stop = to_text, stop
        self.ids: list[list[int]] = [[] for _ in range(num_samples)]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Append the last token of each sample, `(1, num_samples)`; return which are complete."""
        for ids, token in zip(self.ids, tokens[0].tolist(), strict=True):
            ids.append(token)
        return torch.tensor([[self.stop in self.to_text(ids) for ids in self.ids]])
