"""How translations are looked for: the choice of a search and its numbers, in one value."""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_lab.nn.decoding import Hypothesis, Models, beam_search, greedy_decode, sample_decode


class Strategy(NamedTuple):
    """Which hypotheses a decoder gives; the arguments are explained where they are used.

    Attributes:
        beam_size: See `beam_search`; one is greedy.
        length_penalty: See `beam_search`.
        coverage_penalty: See `beam_search`.
        n_best: Hypotheses for each source.
        sampling: Whether to draw them instead (`sample_decode`).
        temperature: See `sample_decode`.
        top_k: See `sample_decode`.
        top_p: See `sample_decode`.
    """

    beam_size: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1
    sampling: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def decode(
        self,
        models: Models,
        src: Tensor,
        lengths: Tensor | None,
        max_length: int | Tensor,
        *,
        attention: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[list[Hypothesis]]:
        """Decode a batch; see the functions for arguments and errors.

        Returns:
            For each source at most `n_best` hypotheses, best first, or in the order drawn.
        """
        if self.sampling:
            return sample_decode(
                models,
                src,
                lengths,
                max_length=max_length,
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                samples=self.n_best,
                attention=attention,
                generator=generator,
            )
        if self.beam_size == 1 and self.coverage_penalty == 0 and self.n_best == 1:
            found = greedy_decode(models, src, lengths, max_length=max_length, attention=attention)
            return [[only] for only in found]
        return beam_search(
            models,
            src,
            lengths,
            beam_size=self.beam_size,
            max_length=max_length,
            length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty,
            n_best=self.n_best,
            attention=attention,
        )
