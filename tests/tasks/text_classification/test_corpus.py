from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.records import Record
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.corpus import TextCorpus, TextCorpusBuilder
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)
from rnn_lab.text.corpus import DrawnSplits

Rows = list[tuple[str, str]]  # label, text
TRAIN = [("pos", "a good film"), ("neg", "a bad film <br /> really"), ("pos", "été 日本 !")] * 4
VALID = [("neg", "a dull film"), ("pos", "good")]
TEST = [("pos", "a good film"), ("neg", "awful"), ("neg", "bad bad bad bad")]


def records(rows: Rows) -> list[Record]:
    return [Record(text, (label,)) for label, text in rows]


def build(
    folder: Path, rows: Mapping[str, Rows], settings: Any = None, **options: Any
) -> TextCorpus:
    sources = {name: (lambda some=some: records(some)) for name, some in rows.items()}
    folder.mkdir()
    config = TruncatingTokenizerConfig(**(settings or {}))
    TextCorpusBuilder(config, **options).build(folder, sources)
    return TextCorpus(folder)


def texts(corpus: TextCorpus, split: str) -> list[str]:
    return [corpus.splits[split].text(row) for row in range(len(corpus.splits[split]))]


@pytest.fixture
def corpus(tmp_path: Path) -> TextCorpus:
    return build(tmp_path / "corpus", {"train": TRAIN, "valid": VALID, "test": TEST})


def test_the_rows_of_a_corpus_are_the_encoded_texts(corpus: TextCorpus) -> None:
    for name, rows in {"train": TRAIN, "valid": VALID, "test": TEST}.items():
        split = corpus.splits[name]
        for row, (label, text) in enumerate(rows):
            ids = split.ids[0][split.offsets[0][row] : split.offsets[0][row + 1]]
            assert ids.tolist() == corpus.tokenizer.encode([text])[0]
            assert split.text(row) == text
            assert corpus.labels[split.labels[row]] == label
        assert split.lengths.tolist() == np.diff(split.offsets[0]).tolist()
        assert len(split) == len(rows)
        assert split.class_counts == [
            sum(label == name for label, _ in rows) for name in corpus.labels
        ]


def test_texts_are_encoded_in_order_over_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_lab.text.tokenizer.ENCODE_CHUNK_SIZE", 3)
    rows = [("a", "" if i % 4 == 0 else f"w{i} " * (i + 1)) for i in range(23)]
    corpus = build(tmp_path / "c", {"train": rows, "valid": rows})
    nonempty = [text for _, text in rows if text]
    assert texts(corpus, "train") == nonempty
    ids = [i for row in corpus.tokenizer.encode(nonempty) for i in row]
    assert corpus.splits["train"].ids[0].tolist() == ids
    assert texts(corpus, "valid") == [text for _, text in rows]


def test_the_vocabulary_comes_from_the_training_split_alone(corpus: TextCorpus) -> None:
    assert "film" in corpus.tokenizer.words
    for word in ("dull", "awful"):
        assert word not in corpus.tokenizer.words
        assert UNK_ID in corpus.tokenizer.encode([word])[0]


def test_the_vocabulary_ignores_the_drawn_validation_split(tmp_path: Path) -> None:
    rows = [("a", f"word{i} common") for i in range(50)]
    corpus = build(tmp_path / "c", {"train": rows}, drawn=DrawnSplits(0.2))
    assert len(corpus.splits["valid"]) == 10
    assert set(corpus.tokenizer.words[3:]) == {text.split()[0] for text in texts(corpus, "train")}


def test_empty_training_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [("a", ""), ("b", "good"), ("a", "bad"), ("b", " \t ")]
    corpus = build(tmp_path / "c", {"train": rows, "valid": VALID[:1]}, labels=["a", "b", "neg"])
    assert texts(corpus, "train") == ["good", "bad"]
    assert corpus.splits["train"].class_counts == [1, 1, 0]
    assert corpus.notices[:1] == ["left out 2 empty texts of the train split"]


@pytest.mark.parametrize("name", ["valid", "test"])
def test_empty_evaluation_texts_are_one_unknown_word_and_counted(tmp_path: Path, name: str) -> None:
    other = "test" if name == "valid" else "valid"
    rows = {"train": TRAIN, name: [("pos", "awful"), ("neg", "<br />")], other: VALID}
    corpus = build(tmp_path / "c", rows)
    split = corpus.splits[name]
    assert split.lengths.tolist() == [1, 1]
    assert split[np.array([1])].tokens.tolist() == [[UNK_ID]]
    assert split.text(1) == "<br />"
    assert f"read 1 empty text of the {name} split as an unknown word" in corpus.notices


def test_test_texts_that_occur_in_training_are_counted(tmp_path: Path) -> None:
    test = [*TEST, ("neg", "a good film"), ("neg", "A good film")]
    corpus = build(tmp_path / "c", {"train": TRAIN, "valid": VALID, "test": test})
    assert corpus.notices[:1] == ["test texts that also occur in training: 2"]
    assert len(corpus.splits["test"]) == len(test)


@pytest.mark.parametrize("name", ["valid", "test"])
def test_an_unknown_label_is_refused_with_the_known_labels(tmp_path: Path, name: str) -> None:
    rows = {"train": TRAIN, "valid": VALID, "test": TEST}
    with pytest.raises(UserError) as error:
        build(tmp_path / "c", rows | {name: [("neutral", "so so")]})
    assert str(error.value) == f"the {name} split has the label 'neutral'; known are neg, pos"


@pytest.mark.parametrize("rows", [[], [("pos", ""), ("neg", " ")]])
def test_an_empty_training_split_is_refused(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(UserError, match="the train split is empty"):
        build(tmp_path / "c", {"train": rows, "valid": VALID}, labels=["neg", "pos"])


@pytest.mark.parametrize("labels", [("a", "b"), ()])
def test_several_labels_are_refused_in_single_label_data(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    read = {"train": lambda: [Record("good", ("a",)), Record("bad", labels)]}
    with pytest.raises(UserError, match=f"a text with {len(labels)} labels"):
        TextCorpusBuilder(TruncatingTokenizerConfig(), labels=["a", "b"]).build(tmp_path, read)


def test_labels_are_numbered_in_natural_order(tmp_path: Path) -> None:
    rows = [(label, "text") for label in ("b", "10", "2", "a", "01", "1")]
    assert build(tmp_path / "c", {"train": rows, "valid": rows}).labels == (
        ["01", "1", "2", "10", "a", "b"]
    )


def test_given_labels_keep_their_order_and_missing_ones_count_zero(
    tmp_path: Path,
) -> None:
    corpus = build(tmp_path / "c", {"train": TRAIN, "valid": VALID}, labels=["pos", "neg", "meh"])
    assert corpus.labels == ["pos", "neg", "meh"]
    assert corpus.splits["train"].class_counts == [8, 4, 0]


def test_several_labels_are_encoded_as_zeros_and_ones(tmp_path: Path) -> None:
    rows = [Record("one two", ("b", "a")), Record("two", ("b",)), Record("none", ())]
    sources: dict[str, Callable[[], Iterable[Record]]] = {"train": lambda: rows}
    builder = TextCorpusBuilder(TruncatingTokenizerConfig(), multi_label=True)
    builder.build(tmp_path, {**sources, "valid": lambda: rows})
    split = TextCorpus(tmp_path).splits["train"]
    batch = split[np.arange(3)]
    assert batch.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert batch.labels.is_floating_point()
    assert split.class_counts == [1, 2]


def test_a_given_tokenizer_encodes_all_splits(tmp_path: Path) -> None:
    tokenizer = TruncatingTokenizer.learn(TruncatingTokenizerConfig(), ["awful film"])
    corpus = build(tmp_path / "c", {"test": TEST}, tokenizer=tokenizer, labels=["neg", "pos"])
    assert corpus.tokenizer.words == tokenizer.words
    assert corpus.splits["test"][np.array([1])].tokens.tolist() == tokenizer.encode(["awful"])


def test_a_batch_contains_its_padded_rows(corpus: TextCorpus) -> None:
    split = corpus.splits["train"]
    rows = np.array([2, 0, 1, 1])
    batch = split[rows]
    encoded = corpus.tokenizer.encode([TRAIN[row][1] for row in rows])
    longest = max(map(len, encoded))
    assert batch.tokens.tolist() == [ids + [PAD_ID] * (longest - len(ids)) for ids in encoded]
    assert batch.lengths.tolist() == [len(ids) for ids in encoded]
    assert batch.labels.tolist() == [corpus.labels.index(TRAIN[row][0]) for row in rows]
