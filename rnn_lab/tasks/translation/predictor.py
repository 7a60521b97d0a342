"""Predictor of translation: translations of raw sentences."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import torch

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load_task, task_class
from rnn_lab.core.predictor import (
    CHUNK_SIZE,
    Answer,
    RecordPredictor,
    bucket_by_length,
    check_data_sizes,
    pad_ids,
)
from rnn_lab.errors import UserError
from rnn_lab.nn.seq2seq.hypotheses import Hypothesis
from rnn_lab.nn.seq2seq.scoring import score_references
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.translation.task import TranslationTask
from rnn_lab.tasks.translation.tokenizer import TranslationTokenizer
from rnn_lab.text.tokenizer import SUBWORDS

MAX_BATCH_HYPOTHESES = 1024  # sources times beam size
MAX_BATCH_TOKENS = 2048  # of references to be scored, padding included


class TranslationPredictor(RecordPredictor):
    """Translate raw sentences.

    An answer has the `source`, the best `translation` and its `score` (log-probability divided by
    the length penalty, plus the coverage penalty). The translation of an empty source is empty,
    its score None. With `search.n_best` above one, `translations` is a list of translations with
    scores. With `attention`, `words` has the source and target tokens and `weights` the attention
    weights, a row for each target token.

    Args:
        task: A trained translator.
        tokenizer: Tokenizers of both languages of the training data.

    Attributes:
        search: Options of decoding; those of the task by default.
        attention: If True, answers have attention weights.
        replace_unknown: If True, replace an unknown target word by the source word with the
            largest attention weight; False by default, so that answers are the model's own.
        generator: Random generator for sampling; None: torch's default.
    """

    columns = ("source", "translation", "score")
    line = "translation"

    def __init__(self, task: TranslationTask, tokenizer: TranslationTokenizer) -> None:
        task.tokenizer = tokenizer
        self.task = task
        self.tokenizer = tokenizer
        self.search = task.search
        self.attention = False
        self.replace_unknown = False
        self.generator: torch.Generator | None = None

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Restore the tokenizers."""
        tokenizer = TranslationTokenizer.from_state_dict(data["tokenizer"])
        check_data_sizes(task, src_vocab_size=tokenizer.source, trg_vocab_size=tokenizer.target)
        return cls(task, tokenizer)

    def add_ensemble(self, checkpoint: Checkpoint, others: Sequence[str]) -> None:
        """Average the probabilities of further translators with those of this one."""
        self.task.ensemble = load_ensemble(checkpoint, others)

    def use_precision(self, name: str) -> None:
        """Run inference in another precision, with all models of an ensemble."""
        super().use_precision(name)
        self.task.ensemble = [self.precision.convert_module(each) for each in self.task.ensemble]

    def _answer(self, texts: list[str]) -> list[Answer]:
        normalized = [self.tokenizer.source.normalize(text) for text in texts]
        rows = self.tokenizer.encode_sources(normalized, normalized=True)
        hypotheses: list[list[Hypothesis]] = [[] for _ in texts]
        batches = list(self._batches(rows))
        for batch, decoded in zip(batches, self._decode(rows, batches), strict=True):
            for i, n_best in zip(batch, decoded, strict=True):
                hypotheses[i] = n_best
        return list(map(self._to_answer, texts, normalized, rows, hypotheses))

    def _decode(
        self, rows: list[list[int]], batches: list[list[int]]
    ) -> Iterator[list[list[Hypothesis]]]:
        """Decode batches; on a CPU each thread decodes separate batches.

        The many small steps of a search gain little from intra-op threads.
        """

        @torch.inference_mode()
        def decode(batch: list[int]) -> list[list[Hypothesis]]:
            src, lengths = pad_ids([rows[i] for i in batch])
            with self.precision.forward_context():  # of this thread
                return self.task.decode(
                    src.to(self.task.device),
                    lengths,
                    self.search,
                    attention=self.attention or self.replace_unknown,
                    generator=self.generator,
                )

        threads = torch.get_num_threads()
        sequential = self.task.device.type != "cpu" or self.search.sampling
        if sequential or threads == 1 or len(batches) == 1:
            yield from map(decode, batches)
            return
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                yield from pool.map(decode, batches)
        finally:
            torch.set_num_threads(threads)

    def _batches(self, rows: list[list[int]]) -> Iterator[list[int]]:
        """Yield the indices of sentences of similar lengths, without empty ones."""
        nonempty = [i for i, row in enumerate(rows) if len(row) > 1]
        nonempty.sort(key=lambda i: len(rows[i]), reverse=True)
        width = max(self.search.beam_size, self.search.n_best)
        size = self.batch_size or max(1, MAX_BATCH_HYPOTHESES // width)
        return (nonempty[i : i + size] for i in range(0, len(nonempty), size))

    def _to_answer(
        self, text: str, normalized: str, row: list[int], hypotheses: list[Hypothesis]
    ) -> Answer:
        if not hypotheses:
            return {"source": text, "translation": "", "score": None}
        best = hypotheses[0]
        translations = [
            {"translation": self._to_text(each, normalized), "score": each.score}
            for each in hypotheses
        ]
        answer: Answer = {"source": text, **translations[0]}
        if self.search.n_best > 1:
            answer["translations"] = translations
        if self.attention:
            if best.attention is None:
                raise UserError(f"{type(self.task).__name__} has no attention: remove --attention")
            target = [self.tokenizer.target.words[i] for i in best.tokens]
            source = self._source_words(normalized, row)
            answer["words"] = {"source": source, "target": [*target, "<eos>"]}
            answer["weights"] = [[round(w, 4) for w in line] for line in best.attention.tolist()]
        return answer

    @property
    def can_replace_unknown(self) -> bool:
        """Whether the model has attention, and a vocabulary of words or characters."""
        has_attention = self.task.decoder.attention_position != "none"
        return has_attention and self.tokenizer.source.settings.kind not in SUBWORDS

    def _source_words(self, normalized: str, row: list[int]) -> list[str]:
        """Return the words of a source as they are written, also unknown ones, and `<eos>`."""
        words = self.tokenizer.source.words
        if self.tokenizer.source.settings.kind in SUBWORDS:
            return [words[i] for i in row]
        return [*self.tokenizer.source.split(normalized), words[row[-1]]]

    def _to_text(self, hypothesis: Hypothesis, source: str) -> str:
        target, tokens = self.tokenizer.target, hypothesis.tokens
        if not self.replace_unknown:
            return target.detokenize(target.decode_normalized(tokens))
        if hypothesis.attention is None:
            raise UserError(
                f"{type(self.task).__name__} has no attention: remove --replace_unknown"
            )
        words = self.tokenizer.source.split(source)
        aligned = hypothesis.attention[:, : len(words)].argmax(1).tolist()
        replacements = {i: words[aligned[i]] for i, token in enumerate(tokens) if token == UNK_ID}
        return target.detokenize(target.decode_normalized(tokens, replacements))

    @torch.inference_mode()
    def scores(self, pairs: Iterable[tuple[str, str]]) -> Iterator[float | None]:
        """Score reference translations as the search scores hypotheses.

        Args:
            pairs: Raw sources and references.

        Yields:
            The score of each pair; None if a side is empty.
        """
        pairs = iter(pairs)
        while chunk := list(itertools.islice(pairs, CHUNK_SIZE)):
            sources, targets = zip(*chunk, strict=True)
            src_rows = self.tokenizer.encode_sources(list(sources))
            trg_rows = self.tokenizer.encode_targets(list(targets))
            scores: list[float | None] = [None] * len(chunk)
            lengths = [(len(src), len(trg)) for src, trg in zip(src_rows, trg_rows, strict=True)]
            nonempty = [i for i, (src, trg) in enumerate(lengths) if src > 1 and trg > 2]
            for batch in bucket_by_length(
                [lengths[i][1] for i in nonempty], MAX_BATCH_TOKENS, self.batch_size
            ):
                rows = [nonempty[i] for i in batch]
                for i, score in zip(rows, self._score(src_rows, trg_rows, rows), strict=True):
                    scores[i] = score
            yield from scores

    def _score(
        self, src_rows: list[list[int]], trg_rows: list[list[int]], rows: list[int]
    ) -> list[float]:
        src, src_lengths = pad_ids([src_rows[i] for i in rows])
        trg, trg_lengths = pad_ids([trg_rows[i] for i in rows])
        with self.precision.forward_context():
            hypotheses = score_references(
                self.task.nets(),
                src.to(self.task.device),
                trg.to(self.task.device),
                src_lengths,
                trg_lengths,
                length_penalty=self.search.length_penalty,
                coverage_penalty=self.search.coverage_penalty,
            )
        return [hypothesis.score for hypothesis in hypotheses]


def load_ensemble(checkpoint: Checkpoint, others: Sequence[str]) -> list[TranslationTask]:
    """Load the translators that form an ensemble with the one of a checkpoint.

    Raises:
        UserError: If one has another vocabulary or is not a translator.
    """
    opened = [Checkpoint.open(path) for path in others]
    for other in opened:
        same = other.has_data and other.data.get("tokenizer") == checkpoint.data["tokenizer"]
        if not (same and issubclass(task_class(other.model, other.path), TranslationTask)):
            raise UserError(
                f"{other.path} is not a translator with the vocabulary of {checkpoint.path}"
            )
    return [load_task(other).eval() for other in opened]
