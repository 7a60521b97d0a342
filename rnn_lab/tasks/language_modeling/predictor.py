"""How likely texts are, and how they go on."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import torch

from rnn_lab.core.predictor import Answer, RecordPredictor, bucket_by_length, check_data_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn.seq2seq.hypotheses import DecodingRules
from rnn_lab.nn.seq2seq.search import greedy_decode, sample_decode
from rnn_lab.special_tokens import IGNORE_INDEX, UNK_ID
from rnn_lab.tasks.language_modeling.base import BaseLanguageModel
from rnn_lab.tasks.language_modeling.generation import PromptDecoder, StopString
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer

MAX_BATCH_LOGITS = 1 << 24  # of a batch: words, padding included, times the vocabulary


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

    def __init__(self, task: BaseLanguageModel, reader: LMTokenizer) -> None:
        self.task = task
        self.reader = reader

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read the vocabulary."""
        reader = LMTokenizer.from_state_dict(data["reader"])
        check_data_sizes(task, vocab_size=reader)
        return cls(task, reader)

    def _answer(self, texts: list[str]) -> list[Answer]:
        rows = [[*row, LINE_END] for row in self.reader.encode(texts)]
        most = max(1, MAX_BATCH_LOGITS // len(self.reader))
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
        targets = torch.tensor([row + [IGNORE_INDEX] * (longest - len(row)) for row in rows])
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
        _check_options(length, temperature, top_k, top_p, num_samples)
        ids = [LINE_END, *self._read(prompt)]
        to_text = partial(self._continuation, prompt)
        stopping = None if stop is None else StopString(to_text, stop, num_samples)
        rules = DecodingRules(ids[-1], None, () if unknown else (UNK_ID,), stopping)
        source = PromptDecoder(self.task), torch.tensor([ids]), None
        if temperature == 0:
            rows = [greedy_decode(*source, max_length=length, rules=rules)]
        else:
            rows = sample_decode(
                *source,
                max_length=length,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                samples=num_samples,
                generator=torch.Generator().manual_seed(seed),
                rules=rules,
            )
        texts = [to_text(hypothesis.tokens) for hypothesis in rows[0]]
        if stop is not None:
            texts = [text[: text.index(stop)] if stop in text else text for text in texts]
        return [prompt + text for text in texts]

    def _read(self, prompt: str) -> list[int]:
        """Return the ids of a prompt; a line feed in it is a line end."""
        return self.reader.encode_lines(self._checked(prompt).split("\n"))[:-1]

    def _continuation(self, prompt: str, ids: list[int]) -> str:
        """Return what is appended to a prompt: the text of generated ids."""
        text = self.reader.text(ids)
        separated = self.reader.settings.kind != "characters"
        if separated and prompt and not prompt[-1].isspace() and text[:1].strip():
            return f" {text}"
        return text


def _check_options(
    length: int, temperature: float, top_k: int | None, top_p: float | None, num_samples: int
) -> None:
    """Refuse options that are out of range or would have no effect.

    Raises:
        UserError: If so.
    """
    for name, count in (("length", length), ("num_samples", num_samples), ("top_k", top_k)):
        if count is not None and count < 1:
            raise UserError(f"{name} must be at least 1, got {count}")
    if not temperature >= 0:
        raise UserError(f"temperature must be at least 0, got {temperature}")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p must be above 0 and at most 1, got {top_p}")
    if temperature > 0:
        return
    for name, value in (("top_k", top_k), ("top_p", top_p)):
        if value is not None:
            raise UserError(f"{name} has no effect at temperature 0: leave it out")
    if num_samples > 1:
        raise UserError(
            f"all samples are equal at temperature 0: num_samples must be 1, got {num_samples}"
        )
