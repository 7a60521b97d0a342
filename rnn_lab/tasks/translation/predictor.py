"""Translations of raw sentences."""

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
from rnn_lab.tasks.translation.base import BaseTranslator
from rnn_lab.tasks.translation.tokenizer import TranslationTokenizer

MAX_BATCH_HYPOTHESES = 1024  # in a batch: all beams of all its sentences
MAX_BATCH_TOKENS = 2048  # in a batch whose translations are given, padding included


class TranslationPredictor(RecordPredictor):
    """Translates raw sentences.

    Each answer has its `source`, the best `translation` and its `score` (log-probability over the
    length penalty, less the coverage penalty). An empty source is answered with an empty
    translation and no score. With more than one of `search.n_best` there is also
    `translations`, a list of these two; with `attention` the `words` read and written and the
    `weights` between them, a row for each word written.

    Args:
        task: A trained translator.
        reader: Turns sentences into ids and back as in training.

    Attributes:
        search: Options of decoding; those of the task by default.
        attention: Whether answers say where the model looked.
        replace_unknown: Whether an unknown word is written as the source word looked at most.
        generator: Where chance comes from, with sampling.
    """

    columns = ("source", "translation", "score")
    line = "translation"

    def __init__(self, task: BaseTranslator, reader: TranslationTokenizer) -> None:
        task.reader = reader
        self.task = task
        self.reader = reader
        self.search = task.search
        self.attention = False
        self.replace_unknown = False
        self.generator: torch.Generator | None = None

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> Self:
        """Read the vocabularies."""
        reader = TranslationTokenizer.from_state_dict(data["reader"])
        check_data_sizes(task, src_vocab_size=reader.source, trg_vocab_size=reader.target)
        return cls(task, reader)

    def add_ensemble(self, checkpoint: Checkpoint, others: Sequence[str]) -> None:
        """Average the probabilities of further translators with those of this one."""
        self.task.ensemble = load_ensemble(checkpoint, others)

    def _answer(self, texts: list[str]) -> list[Answer]:
        normal = [self.reader.source.normalized(text) for text in texts]
        rows = self.reader.encode_sources(normal, normalized=True)
        found: list[list[Hypothesis]] = [[] for _ in texts]
        batches = list(self._batches(rows))
        for batch, hypotheses in zip(batches, self._decoded(rows, batches), strict=True):
            for i, several in zip(batch, hypotheses, strict=True):
                found[i] = several
        parts = zip(texts, normal, rows, found, strict=True)
        return [self._say(*part) for part in parts]

    def _decoded(
        self, rows: list[list[int]], batches: list[list[int]]
    ) -> Iterator[list[list[Hypothesis]]]:
        """Translate batches; on a CPU each thread takes batches of its own.

        The many small steps of a search share threads badly, above all on a busy machine.
        """

        @torch.inference_mode()
        def decode(batch: list[int]) -> list[list[Hypothesis]]:
            src, lengths = pad_ids([rows[i] for i in batch])
            return self.task.decode(
                src.to(self.task.device),
                lengths,
                self.search,
                attention=self.attention or self.replace_unknown,
                generator=self.generator,
            )

        threads = torch.get_num_threads()
        alone = self.task.device.type != "cpu" or self.search.sampling  # one after the other
        if alone or threads == 1 or len(batches) == 1:
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
        """Sentences of like lengths; those without a word are left out."""
        known = [i for i, row in enumerate(rows) if len(row) > 1]
        known.sort(key=lambda i: len(rows[i]), reverse=True)
        width = max(self.search.beam_size, self.search.n_best)
        size = max(1, MAX_BATCH_HYPOTHESES // width)
        return (known[i : i + size] for i in range(0, len(known), size))

    def _say(self, text: str, normal: str, row: list[int], found: list[Hypothesis]) -> Answer:
        if not found:
            return {"source": text, "translation": "", "score": None}
        best = found[0]
        translations = [
            {"translation": self._written(each, normal), "score": each.score} for each in found
        ]
        answer: Answer = {"source": text, **translations[0]}
        if self.search.n_best > 1:
            answer["translations"] = translations
        if self.attention:
            if best.attention is None:
                raise UserError(f"{type(self.task).__name__} has no attention to show")
            target = [self.reader.target.words[i] for i in best.tokens]
            source = [self.reader.source.words[i] for i in row]
            answer["words"] = {"source": source, "target": [*target, "<eos>"]}
            answer["weights"] = [[round(w, 4) for w in line] for line in best.attention.tolist()]
        return answer

    def _written(self, found: Hypothesis, source: str) -> str:
        writer = self.reader.target
        if not self.replace_unknown:
            return writer.plain(writer.joined(found.tokens))
        if found.attention is None:
            raise UserError(f"{type(self.task).__name__} has no attention to replace words by")
        read = self.reader.source.split(source)
        looked = found.attention[:, : len(read)].argmax(1).tolist()
        words = {i: read[looked[i]] for i, token in enumerate(found.tokens) if token == UNK_ID}
        return writer.plain(writer.joined(found.tokens, words))

    @torch.inference_mode()
    def scores(self, pairs: Iterable[tuple[str, str]]) -> Iterator[float | None]:
        """Score given translations as the search scores its own.

        Args:
            pairs: Raw sources and translations.

        Yields:
            The score of each; None where a side is empty.
        """
        pairs = iter(pairs)
        while chunk := list(itertools.islice(pairs, CHUNK_SIZE)):
            sources, targets = zip(*chunk, strict=True)
            src_rows = self.reader.encode_sources(list(sources))
            trg_rows = self.reader.encode_targets(list(targets))
            found: list[float | None] = [None] * len(chunk)
            known = [i for i in range(len(chunk)) if len(src_rows[i]) > 1 and len(trg_rows[i]) > 2]
            for batch in bucket_by_length([len(trg_rows[i]) for i in known], MAX_BATCH_TOKENS):
                rows = [known[i] for i in batch]
                for i, score in zip(rows, self._forced(src_rows, trg_rows, rows), strict=True):
                    found[i] = score
            yield from found

    def _forced(
        self, src_rows: list[list[int]], trg_rows: list[list[int]], rows: list[int]
    ) -> list[float]:
        src, src_lengths = pad_ids([src_rows[i] for i in rows])
        trg, trg_lengths = pad_ids([trg_rows[i] for i in rows])
        hypotheses = score_references(
            self.task.nets(),
            src.to(self.task.device),
            trg.to(self.task.device),
            src_lengths,
            trg_lengths,
            length_penalty=self.search.length_penalty,
            coverage_penalty=self.search.coverage_penalty,
        )
        return [each.score for each in hypotheses]


def load_ensemble(checkpoint: Checkpoint, others: Sequence[str]) -> list[BaseTranslator]:
    """Load the translators that form an ensemble with the one of a checkpoint.

    Raises:
        UserError: If one has another vocabulary, or does not translate.
    """
    opened = [Checkpoint.open(path) for path in others]
    for other in opened:
        same = other.has_data and other.data.get("reader") == checkpoint.data["reader"]
        if not (same and issubclass(task_class(other.model, other.path), BaseTranslator)):
            raise UserError(
                f"{other.path} is no translator with the vocabulary of {checkpoint.path}"
            )
    return [load_task(other).eval() for other in opened]
