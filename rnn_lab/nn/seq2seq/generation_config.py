"""Options of decoding: the choice between greedy, beam search and sampling, and its parameters."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnn_lab.nn.seq2seq.hypotheses import Hypothesis, Models
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode


@dataclass(frozen=True)
class GenerationConfig:
    """Options of decoding: beam search, greedy decoding or sampling.

    Args:
        beam_size: Beam width; 1 is greedy decoding.
        length_penalty: Exponent of the length that scores are divided by, see `beam_search`.
        coverage_penalty: Weight of the coverage penalty, see `beam_search`.
        n_best: Number of hypotheses returned for each source.
        sampling: If True, sample instead of searching, see `sample_decode`.
        temperature: Sampling temperature, which divides the logits.
        top_k: Sample from the k most likely tokens; None for all.
        top_p: Nucleus sampling: sample from the smallest set of tokens whose cumulative
            probability is at least p; None for all.

    Raises:
        ValueError: If a value is out of its range.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1
    sampling: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        for name in ("beam_size", "n_best", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("length_penalty", "coverage_penalty"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not self.sampling and self.n_best > self.beam_size:
            raise ValueError(
                f"n_best must be from 1 to beam_size ({self.beam_size}), got {self.n_best}"
            )
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")

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
            For each source at most `n_best` hypotheses, best first, or in the order sampled.
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
                num_samples=self.n_best,
                attention=attention,
                generator=generator,
            )
        if self.beam_size == 1 and self.coverage_penalty == 0 and self.n_best == 1:
            best = greedy_decode(models, src, lengths, max_length=max_length, attention=attention)
            return [[hypothesis] for hypothesis in best]
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


BEAM_SEARCH = GenerationConfig()
GREEDY = GenerationConfig(beam_size=1)
