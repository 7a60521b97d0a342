"""How likely texts are, and how they go on."""

import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor

from rnn_lab.core.predictor import Answer, RecordPredictor, bucket_by_length, check_known_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import GenerationConfig
from rnn_lab.nn.seq2seq.search import draw
from rnn_lab.special_tokens import IGNORED, UNK_ID
from rnn_lab.tasks.language_modeling.models import LanguageModel
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer

SCORES_AT_ONCE = 1 << 24  # of a batch: words, padding included, times the vocabulary


class LanguagePredictor(RecordPredictor):
    """Says how likely lines of text are, and continues them.

    Each answer has its `text`, the `tokens` that were read with the line end last, the
    `log_probabilities` of each after all before it, their sum `log_probability`, and the
    `perplexity` of a token. Every line is read as the first after a line end, by itself.

    Args:
        task: A trained language model.
        reader: Turns lines into ids as in training, and ids into text.
    """

    columns = ("text", "log_probability", "perplexity")
    line = "perplexity"

    def __init__(self, task: LanguageModel, reader: LMTokenizer) -> None:
        self.task = task
        self.reader = reader

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read the vocabulary."""
        reader = LMTokenizer.from_state_dict(data["reader"]["stream"])
        check_known_sizes(task, vocab_size=reader)
        return cls(task, reader)

    def _answer(self, texts: list[str]) -> list[Answer]:
        rows = [[*row, LINE_END] for row in self.reader.encode(texts)]
        most = max(1, SCORES_AT_ONCE // len(self.reader))
        answers: list[Answer] = [{"text": text} for text in texts]
        for batch in bucket_by_length(list(map(len, rows)), most):
            each = self._log_probabilities([rows[i] for i in batch])
            for i, found in zip(batch, each, strict=True):
                total = math.fsum(found)
                answers[i]["tokens"] = self.reader.decode(rows[i])
                answers[i]["log_probabilities"] = found
                answers[i]["log_probability"] = total
                answers[i]["perplexity"] = math.exp(-total / len(found))
        return answers

    @torch.inference_mode()
    def _log_probabilities(self, rows: list[list[int]]) -> Iterator[list[float]]:
        """Log-probability of each word of each row after a line end and all words before it."""
        longest = max(map(len, rows))
        targets = torch.tensor([row + [IGNORED] * (longest - len(row)) for row in rows])
        targets = targets.to(self.task.device)
        before = targets.roll(1, 1).clamp(min=0)  # what stands in for padding is never looked at
        before[:, 0] = LINE_END
        logits, _ = self.task(before)
        found = logits.float().log_softmax(-1).gather(2, targets.clamp(min=0).unsqueeze(2))
        for row, each in zip(rows, found.squeeze(2).tolist(), strict=True):
            yield each[: len(row)]

    @torch.inference_mode()
    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        num_samples: int = 1,
        seed: int = 0,
        stop: str | None = None,
        unknown: bool = False,
    ) -> list[str]:
        """Continue a text, word by word.

        Words are drawn on the CPU in double precision from a seed, on every device alike.

        Args:
            prompt: How the text begins; it is read as the first after a line end.
            length: Words to add, of text by character characters, at the most.
            temperature: Below 1 what is likely becomes likelier; 0 always takes the likeliest.
            top_k: Draw from so many of the likeliest words.
            top_p: Draw from the fewest of the likeliest words that are so probable together.
            num_samples: Texts to write.
            seed: What is drawn depends on it alone.
            stop: Where this is written the text ends, without it.
            unknown: Whether the unknown word may be written.

        Returns:
            The texts, the prompt included.

        Raises:
            UserError: If a number has no meaning.
        """
        strategy = _strategy(temperature, top_k, top_p, num_samples)
        if length < 1:
            raise UserError(f"length must be at least 1, got {length}")
        given = self._read(prompt)
        tokens = torch.tensor([[LINE_END, *given]], device=self.task.device)
        logits, state = self.task(tokens.expand(num_samples, -1))
        logits = logits[:, -1]
        generator = torch.Generator().manual_seed(seed)
        written: list[list[int]] = [[] for _ in range(num_samples)]
        texts: list[str | None] = [None] * num_samples
        for _ in range(length):
            chosen = _choose(logits, strategy, unknown, generator)
            for row, word in zip(written, chosen.tolist(), strict=True):
                row.append(word)
            if stop is not None:
                for i, row in enumerate(written):
                    texts[i] = texts[i] or self._stopped(prompt, row, stop)
                if all(text is not None for text in texts):
                    break
            logits, state = self.task.decode_step(chosen.to(self.task.device), state)
        return [
            self._joined(prompt, row) if text is None else text
            for row, text in zip(written, texts, strict=True)
        ]

    def _read(self, prompt: str) -> list[int]:
        """Read a prompt: a line feed in it is a line end."""
        return self.reader.encode_lines(self._checked(prompt).split("\n"))[:-1]

    def _joined(self, prompt: str, row: list[int]) -> str:
        """Put what was written after the prompt."""
        added = self.reader.text(row)
        apart = self.reader.settings.kind != "characters"
        if apart and prompt and not prompt[-1].isspace() and added[:1].strip():
            return f"{prompt} {added}"
        return prompt + added

    def _stopped(self, prompt: str, row: list[int], stop: str) -> str | None:
        """The text up to where it stops; None where it goes on."""
        text = self._joined(prompt, row)
        place = text.find(stop, len(prompt))
        return None if place < 0 else text[:place]


def _strategy(
    temperature: float, top_k: int | None, top_p: float | None, num_samples: int
) -> GenerationConfig:
    """Check what was asked for.

    Raises:
        UserError: If a number has no meaning, or goes unheard.
    """
    if num_samples < 1:
        raise UserError(f"num_samples must be at least 1, got {num_samples}")
    if temperature == 0:
        for name, value in (("top_k", top_k), ("top_p", top_p)):
            if value is not None:
                raise UserError(f"{name} means nothing at temperature 0: leave it out")
        if num_samples > 1:
            raise UserError(f"all texts are the same at temperature 0: no {num_samples} of them")
        return GenerationConfig()
    try:
        return GenerationConfig(
            sampling=True, temperature=temperature, top_k=top_k, top_p=top_p, n_best=num_samples
        ).checked()
    except ValueError as error:
        raise UserError(str(error)) from error


def _choose(
    logits: Tensor, strategy: GenerationConfig, unknown: bool, generator: torch.Generator
) -> Tensor:
    """Choose the next word of each row, `(rows,)` on the CPU, from scores `(rows, vocab)`."""
    logits = logits.double().cpu()
    if not unknown:
        logits[:, UNK_ID] = -torch.inf
    if not strategy.sampling:
        return logits.argmax(1)
    drawn = draw(
        logits.log_softmax(1), strategy.temperature, strategy.top_k, strategy.top_p, generator
    )
    return drawn.squeeze(1)
