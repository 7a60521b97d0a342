"""How translations are looked for: the choice of a search and its numbers, in one value."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from rnn_lab.nn.seq2seq.hypotheses import Hypothesis, Models
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode


class GenerationConfig(NamedTuple):
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

    def checked(self) -> Self:
        """Give it back if its numbers have a meaning.

        Raises:
            ValueError: If one has none.
        """
        for name in ("beam_size", "n_best", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("length_penalty", "coverage_penalty"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not self.sampling and self.n_best > self.beam_size:
            wish = f"n_best must be from 1 to beam_size ({self.beam_size})"
            raise ValueError(f"{wish}, got {self.n_best}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        return self

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
