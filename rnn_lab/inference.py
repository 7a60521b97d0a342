"""From a checkpoint alone to answers: a task with the reader and writer it was trained with."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from rnn_lab.batches import PAD_ID, UNK_ID
from rnn_lab.data.module import saved
from rnn_lab.data.sentences import PairReader
from rnn_lab.data.vocabulary import TextReader
from rnn_lab.errors import UserError
from rnn_lab.models import TextClassifier, Translator
from rnn_lab.nn.decoding import Hypothesis, score_references

TEXTS_AT_ONCE = 2048  # read ahead, so that texts of like lengths share a batch
WORDS_AT_ONCE = 16_384  # in a batch that is read, padding included
HYPOTHESES_AT_ONCE = 512  # in a batch that is written: all beams of all its sentences

Answer = dict[str, Any]


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> "Predictor":
    """Build a task again from a checkpoint, ready to answer raw text.

    Only load checkpoints that you trust: the class that a checkpoint names is imported.

    Args:
        path: A checkpoint of a model that reads text.
        device: Where to compute, such as `cuda:0`.
        ensemble: Checkpoints of further translators of the same vocabulary, whose probabilities
            are averaged with those of the first.

    Returns:
        A `TextPredictor`, or of a translator a `TranslationPredictor`.

    Raises:
        UserError: If it is not a checkpoint of this project, or its model reads no text.
    """
    recipe = saved(path)
    data = recipe.get("data", {})
    if "reader" not in data:
        raise UserError(f"{path} is of a {_name(recipe['model'])}, which reads no text")
    task = restored(path).to(device).eval()
    if "source" in data["reader"]:
        task.partners = partners_of(path, ensemble)
        return TranslationPredictor(task, PairReader.from_state_dict(data["reader"]))
    if ensemble:
        raise UserError(f"{path} is of a {_name(recipe['model'])}: only translators go together")
    return TextPredictor(task, TextReader.from_state_dict(data["reader"]), data["labels"])


def restored(path: str) -> Any:
    """Build the task of a checkpoint with its weights, on the CPU."""
    task = build(saved(path)["model"])
    task.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    return task


def partners_of(path: str, others: Sequence[str]) -> list[Translator]:
    """Build the translators that go with the one of a checkpoint in an ensemble.

    Raises:
        UserError: If one reads or writes other words, or does not translate.
    """
    wanted = saved(path).get("data", {}).get("reader")
    for other in others:
        found = saved(other).get("data", {}).get("reader")
        if found is None or "source" not in found or found != wanted:
            raise UserError(f"{other} is no translator with the vocabulary of {path}")
    return [restored(other).eval() for other in others]


def build(recipe: dict[str, Any]) -> Any:
    """Build the task that a checkpoint describes, with first weights.

    Raises:
        UserError: If there is no such class here, or it does not take the arguments.
    """
    module, _, name = recipe["class_path"].rpartition(".")
    arguments = {
        k: v for k, v in recipe["init_args"].items() if k not in ("optimizer", "scheduler")
    }
    try:
        return getattr(import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(
            f"the checkpoint's {recipe['class_path']} cannot be built: {error}"
        ) from error


def _name(recipe: dict[str, Any]) -> str:
    return recipe["class_path"].rpartition(".")[2]


class Predictor:
    """Answers raw text: what all answers have in common."""

    def predict(self, texts: Iterable[str]) -> list[Answer]:
        """Answer some texts, see `answers`."""
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts, got one string")
        return list(self.answers(texts))

    def answers(self, texts: Iterable[str]) -> Iterator[Answer]:
        """Answer texts one after the other, in their order; memory stays bounded.

        Args:
            texts: Raw texts, any number of them.

        Yields:
            An answer for each, see the subclass.
        """
        texts = map(_checked, texts)
        while chunk := list(itertools.islice(texts, TEXTS_AT_ONCE)):
            yield from self._answer(chunk)

    def _answer(self, texts: list[str]) -> list[Answer]:
        raise NotImplementedError(f"{type(self).__name__} does not say how it answers")


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise UserError(f"texts must be strings, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes that a stream could not decode
        raise UserError(f"a text is not utf-8: {text!r}") from error
    return text


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cut rows into batches of like lengths with at most so many steps, padding included."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        size = max(1, most // lengths[order[-1]])
        yield order[-size:]
        order = order[:-size]


def _padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows]), lengths


class TextPredictor(Predictor):
    """Labels raw text.

    Each answer has its `text`, its `label` and the `probabilities` of all labels by name; label
    and probabilities are None where there is no word to read. Of multi-label data `label` is the
    list of labels at least as likely as not.

    Args:
        task: A trained model that reads text.
        reader: Turns text into ids as in training.
        labels: Names of the classes in the order of their ids.
    """

    def __init__(self, task: TextClassifier, reader: TextReader, labels: Sequence[str]) -> None:
        self.task = task
        self.reader = reader
        self.labels = list(labels)
        self.multi_label = bool(getattr(task, "multi_label", False))

    def _answer(self, texts: list[str]) -> list[Answer]:
        answers: list[Answer] = [
            {"text": text, "label": None, "probabilities": None} for text in texts
        ]
        rows = self.reader.encode(texts)
        known = [i for i, row in enumerate(rows) if row]
        for batch in _batches([len(rows[i]) for i in known], WORDS_AT_ONCE):
            chosen = [known[i] for i in batch]
            for i, probabilities in zip(chosen, self._read([rows[i] for i in chosen]), strict=True):
                answers[i]["label"] = self._decide(probabilities)
                answers[i]["probabilities"] = dict(zip(self.labels, probabilities, strict=True))
        return answers

    @torch.inference_mode()
    def _read(self, rows: list[list[int]]) -> list[list[float]]:
        """Probabilities of each class for each row, as numbers."""
        tokens, lengths = _padded(rows)
        return self.task.probabilities(tokens.to(self.task.device), lengths).tolist()

    def _decide(self, probabilities: list[float]) -> str | list[str]:
        if self.multi_label:
            return [k for k, p in zip(self.labels, probabilities, strict=True) if p >= 0.5]
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]


class TranslationPredictor(Predictor):
    """Translates raw sentences.

    Each answer has its `source`, the best `translation` and its `score` (log-probability over the
    length penalty, less the coverage penalty). An empty source is answered with an empty
    translation and no score. With more than one of `strategy.n_best` there is also
    `translations`, a list of these two; with `attention` the `words` read and written and the
    `weights` between them, a row for each word written.

    Args:
        task: A trained translator.
        reader: Turns sentences into ids and back as in training.

    Attributes:
        strategy: How translations are looked for; the task's own, until it is set.
        attention: Whether answers say where the model looked.
        replace_unknown: Whether an unknown word is written as the source word looked at most.
        generator: Where chance comes from, with sampling.
    """

    def __init__(self, task: Translator, reader: PairReader) -> None:
        task.reader = reader
        self.task = task
        self.reader = reader
        self.strategy = task.strategy
        self.attention = False
        self.replace_unknown = False
        self.generator: torch.Generator | None = None

    def _answer(self, texts: list[str]) -> list[Answer]:
        normal = [self.reader.source.normalised(text) for text in texts]
        rows = self.reader.encode_sources(normal, normalised=True)
        found: list[list[Hypothesis]] = [[] for _ in texts]
        for batch in self._batches(rows):
            src, lengths = _padded([rows[i] for i in batch])
            hypotheses = self.task.decode(
                src.to(self.task.device),
                lengths,
                self.strategy,
                attention=self.attention or self.replace_unknown,
                generator=self.generator,
            )
            for i, several in zip(batch, hypotheses, strict=True):
                found[i] = several
        parts = zip(texts, normal, rows, found, strict=True)
        return [self._say(*part) for part in parts]

    def _batches(self, rows: list[list[int]]) -> Iterator[list[int]]:
        """Sentences of like lengths; those without a word are left out."""
        known = [i for i, row in enumerate(rows) if len(row) > 1]
        known.sort(key=lambda i: len(rows[i]), reverse=True)
        width = max(self.strategy.beam_size, self.strategy.n_best)
        size = max(1, HYPOTHESES_AT_ONCE // width)
        return (known[i : i + size] for i in range(0, len(known), size))

    def _say(self, text: str, normal: str, row: list[int], found: list[Hypothesis]) -> Answer:
        if not found:
            return {"source": text, "translation": "", "score": None}
        best = found[0]
        translations = [
            {"translation": self._written(each, normal), "score": each.score} for each in found
        ]
        answer: Answer = {"source": text, **translations[0]}
        if self.strategy.n_best > 1:
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
        while chunk := list(itertools.islice(pairs, TEXTS_AT_ONCE)):
            sources, targets = zip(*chunk, strict=True)
            src_rows = self.reader.encode_sources(list(sources))
            trg_rows = self.reader.encode_targets(list(targets))
            found: list[float | None] = [None] * len(chunk)
            known = [i for i in range(len(chunk)) if len(src_rows[i]) > 1 and len(trg_rows[i]) > 2]
            for batch in _batches([len(trg_rows[i]) for i in known], WORDS_AT_ONCE // 8):
                rows = [known[i] for i in batch]
                for i, score in zip(rows, self._forced(src_rows, trg_rows, rows), strict=True):
                    found[i] = score
            yield from found

    def _forced(
        self, src_rows: list[list[int]], trg_rows: list[list[int]], rows: list[int]
    ) -> list[float]:
        src, src_lengths = _padded([src_rows[i] for i in rows])
        trg, trg_lengths = _padded([trg_rows[i] for i in rows])
        hypotheses = score_references(
            self.task.nets(),
            src.to(self.task.device),
            trg.to(self.task.device),
            src_lengths,
            trg_lengths,
            length_penalty=self.strategy.length_penalty,
            coverage_penalty=self.strategy.coverage_penalty,
        )
        return [each.score for each in hypotheses]
