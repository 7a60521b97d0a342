"""Predictor of language modeling: probabilities of raw text, and generation."""

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

MAX_BATCH_LOGITS = 1 << 24  # tokens of a batch, padding included, times the vocabulary size


class LanguagePredictor(RecordPredictor):
    """Compute the probabilities of lines of text, and generate text.

    An answer has the `text`, its `tokens` with the end-of-line token last, the `log_probabilities`
    of each token given all before it, their sum `log_probability`, and the `perplexity` per token.
    Lines are independent: each is scored as the line after an end-of-line token.

    Args:
        task: A trained language model.
        tokenizer: Tokenizer of the training data.
    """

    columns = ("text", "log_probability", "perplexity")
    line = "perplexity"

    def __init__(self, task: BaseLanguageModel, tokenizer: LMTokenizer) -> None:
        self.task = task
        self.tokenizer = tokenizer

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Restore the tokenizer."""
        tokenizer = LMTokenizer.from_state_dict(data["tokenizer"])
        check_data_sizes(task, vocab_size=tokenizer)
        return cls(task, tokenizer)

    def _answer(self, texts: list[str]) -> list[Answer]:
        rows = [[*row, LINE_END] for row in self.tokenizer.encode(texts)]
        max_tokens = max(1, MAX_BATCH_LOGITS // len(self.tokenizer))
        answers: list[Answer] = [{"text": text} for text in texts]
        for batch in bucket_by_length(list(map(len, rows)), max_tokens, self.batch_size):
            batch_log_probabilities = self._log_probabilities([rows[i] for i in batch])
            for i, log_probabilities in zip(batch, batch_log_probabilities, strict=True):
                total = math.fsum(log_probabilities)
                answers[i]["tokens"] = self.tokenizer.decode(rows[i])
                answers[i]["log_probabilities"] = log_probabilities
                answers[i]["log_probability"] = total
                answers[i]["perplexity"] = math.exp(-total / len(log_probabilities))
        return answers

    @torch.inference_mode()
    def _log_probabilities(self, rows: list[list[int]]) -> Iterator[list[float]]:
        """Yield the log-probabilities of the tokens of each row, given all tokens before them."""
        longest = max(map(len, rows))
        targets = torch.tensor([row + [IGNORE_INDEX] * (longest - len(row)) for row in rows])
        targets = targets.to(self.task.device)
        inputs = targets.roll(1, 1).clamp(min=0)  # any id may stand for padding at a row's end
        inputs[:, 0] = LINE_END
        log_probabilities = self.task(inputs)[0].float().log_softmax(-1)
        of_targets = log_probabilities.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
        for row, values in zip(rows, of_targets.tolist(), strict=True):
            yield values[: len(row)]

    @torch.inference_mode()
    def generate(
        self,
        prompt: str = "",
        max_new_tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        num_samples: int = 1,
        seed: int = 0,
        stop: str | None = None,
        allow_unknown: bool = False,
    ) -> list[str]:
        """Continue a text by sampling, or greedily.

        Tokens are sampled on the CPU in double precision, so that a seed gives the same text on
        every device.

        Args:
            prompt: Begin of the text; it follows an end-of-line token.
            max_new_tokens: Number of tokens to generate, unless `stop` ends the text earlier.
            temperature: Divisor of the logits: below 1 likely tokens become more likely; 0 decodes
                greedily.
            top_k: Sample from the k most likely tokens.
            top_p: Nucleus sampling: sample from the smallest set of tokens with a cumulative
                probability of at least p.
            num_samples: Number of texts to generate.
            seed: Seed of the samples.
            stop: String before which a text ends.
            allow_unknown: If True, the unknown token may be generated.

        Returns:
            The texts, each with the prompt.

        Raises:
            UserError: If an option is out of range or would have no effect.
        """
        _check_options(max_new_tokens, temperature, top_k, top_p, num_samples)
        ids = [LINE_END, *self._encode_prompt(prompt)]
        to_text = partial(self._continuation, prompt)
        stopping = None if stop is None else StopString(to_text, stop, num_samples)
        suppressed = () if allow_unknown else (UNK_ID,)
        rules = DecodingRules(ids[-1], end=None, suppressed=suppressed, stopping=stopping)
        source = PromptDecoder(self.task), torch.tensor([ids]), None
        if temperature == 0:
            hypotheses = greedy_decode(*source, max_length=max_new_tokens, rules=rules)
        else:
            (hypotheses,) = sample_decode(
                *source,
                max_length=max_new_tokens,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                num_samples=num_samples,
                generator=torch.Generator().manual_seed(seed),
                rules=rules,
            )
        texts = [to_text(hypothesis.tokens) for hypothesis in hypotheses]
        if stop is not None:
            texts = [text[: text.index(stop)] if stop in text else text for text in texts]
        return [prompt + text for text in texts]

    def _encode_prompt(self, prompt: str) -> list[int]:
        """Convert a prompt to ids; a line feed in it becomes an end-of-line token."""
        return self.tokenizer.encode_lines(self._checked(prompt).split("\n"))[:-1]

    def _continuation(self, prompt: str, ids: list[int]) -> str:
        """Return what is appended to a prompt: the text of generated ids."""
        text = self.tokenizer.text(ids)
        separated = self.tokenizer.settings.kind != "characters"
        if separated and prompt and not prompt[-1].isspace() and text[:1].strip():
            return f" {text}"
        return text


def _check_options(
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    num_samples: int,
) -> None:
    counts = {"max_new_tokens": max_new_tokens, "num_samples": num_samples, "top_k": top_k}
    for name, count in counts.items():
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
