from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from rnn_lab.tasks.translation.corpus import Pair, PairCorpus, PairCorpusBuilder, PairDataset
from rnn_lab.tasks.translation.tokenizer import SentenceTokenizerConfig
from rnn_lab.text.corpus import DrawnSplits

Rows = list[tuple[str, str]]
TRAIN: Rows = [
    ("a dog runs", "ein Hund l\u00e4uft"),
    ("two dogs", "zwei Hunde"),
    ("a cat", "eine Katze"),
] * 4
VALID: Rows = [("a bird", "ein Vogel"), ("", "leer"), ("no", ""), ("", ""), ("a dog", "ein Hund")]
TEST: Rows = [("two dogs", "zwei Hunde"), ("two\u2028birds\u0085", "zwei V\u00f6gel\v")]


def build(
    folder: Path, rows: Mapping[str, Rows], settings: Any = None, **options: Any
) -> PairCorpus:
    sources = {
        name: (lambda some=some: [Pair(*row) for row in some]) for name, some in rows.items()
    }
    config = SentenceTokenizerConfig(**{"kind": "words", "lowercase": False, **(settings or {})})
    folder.mkdir()
    builder = PairCorpusBuilder((config, config), **{"joint": False, **options})
    builder.build(folder, sources)
    return PairCorpus(folder)


def rows_of(split: PairDataset) -> Rows:
    return [(split.source(row), split.target(row)) for row in range(len(split))]


@pytest.fixture
def given(tmp_path: Path) -> PairCorpus:
    return build(tmp_path / "given", {"train": TRAIN, "valid": VALID, "test": TEST})


def test_evaluation_keeps_all_pairs_in_order(given: PairCorpus) -> None:
    assert rows_of(given.splits["valid"]) == VALID
    assert rows_of(given.splits["test"]) == TEST
    assert "3 pairs of the valid split have an empty side and are kept" in given.notices


def test_the_ids_of_a_batch_are_the_encoded_lines(given: PairCorpus) -> None:
    for name, rows in {"train": TRAIN, "valid": VALID, "test": TEST}.items():
        split = given.splits[name]
        order = np.random.default_rng(0).permutation(len(rows))
        batch = split[order]
        sources = given.tokenizer.encode_sources([rows[i][0] for i in order])
        targets = given.tokenizer.encode_targets([rows[i][1] for i in order])
        for ids, lengths, wanted in (
            (batch.src, batch.src_lengths, sources),
            (batch.trg, batch.trg_lengths, targets),
        ):
            assert [row[:n].tolist() for row, n in zip(ids, lengths, strict=True)] == wanted
            assert all((row[n:] == PAD_ID).all() for row, n in zip(ids, lengths, strict=True))
            assert ids.shape[1] == lengths.max()
        assert (split.lengths[order] == np.stack([batch.src_lengths, batch.trg_lengths], 1)).all()


def test_evaluation_batches_have_raw_references(given: PairCorpus) -> None:
    rows = np.array([4, 0, 1])
    assert given.splits["valid"][rows].references == tuple(VALID[row][1] for row in rows)
    assert given.splits["train"][rows].references == ()


def test_an_empty_line_consists_of_start_and_end_tokens(given: PairCorpus) -> None:
    batch = given.splits["valid"][np.array([3])]
    assert batch.src.tolist() == [[EOS_ID]]
    assert batch.trg.tolist() == [[BOS_ID, EOS_ID]]


def test_training_pairs_with_an_empty_side_are_left_out(tmp_path: Path) -> None:
    rows = [("a", "A"), ("b", " \t"), ("", "C"), ("", ""), ("e", "E"), ("\u2028", "F"), ("g", "G")]
    corpus = build(tmp_path / "c", {"train": rows, "valid": VALID[:1]})
    assert rows_of(corpus.splits["train"]) == [("a", "A"), ("e", "E"), ("g", "G")]
    assert "4 pairs of the train split have an empty side and are left out" in corpus.notices
    batch = corpus.splits["train"][np.array([2])]
    assert batch.src.tolist() == corpus.tokenizer.encode_sources(["g"])


def test_lengths_of_both_sides_of_the_training_pairs_are_described(tmp_path: Path) -> None:
    rows = [("a", "A"), ("b c", "B"), ("d e f", "D E F G H")]
    notices = build(tmp_path / "c", {"train": rows, "valid": VALID[:1]}).notices
    assert notices == [
        "the train split has 3 pairs",
        "tokens per source: median 2, 5 % have at most 1 and 5 % at least 3 (shortest 1, longest "
        "3)",
        "tokens per target: median 1, 5 % have at most 1 and 5 % at least 5 (shortest 1, longest "
        "5)",
    ]


def test_long_pairs_are_left_out_only_in_training(tmp_path: Path) -> None:
    rows = [("a b c", "A B C"), ("a b c d", "A"), ("a", "A B C D"), ("a", "A")]
    corpus = build(tmp_path / "c", {"train": rows, "valid": rows, "test": rows}, max_length=3)
    assert rows_of(corpus.splits["train"]) == [rows[0], rows[3]]
    assert rows_of(corpus.splits["valid"]) == rows_of(corpus.splits["test"]) == rows
    assert corpus.splits["valid"].lengths.max() == 4 + 2
    assert "2 pairs of the train split are left out: more than 3 tokens per side" in corpus.notices


@pytest.mark.parametrize("tokenizer", ["words", "characters", "bpe", "unigram"])
@pytest.mark.parametrize("joint", [True, False])
def test_the_vocabulary_comes_from_the_training_split_alone(
    tmp_path: Path, tokenizer: str, joint: bool
) -> None:
    valid = [("\u65e5", "\u672c")]
    settings = {"kind": tokenizer}
    corpus = build(tmp_path / "c", {"train": TRAIN, "valid": valid}, settings, joint=joint)
    assert UNK_ID in corpus.splits["valid"][np.array([0])].src
    assert UNK_ID in corpus.splits["valid"][np.array([0])].trg
    letters = set("".join(corpus.tokenizer.source.words))
    assert not {"\u65e5", "\u672c"} & letters
    assert ("\u00e4" in letters) == joint
    assert corpus.tokenizer.joint == joint


def test_the_vocabulary_ignores_the_drawn_validation_split(tmp_path: Path) -> None:
    rows = [(f"own{i} common", f"eigen{i}") for i in range(50)]
    corpus = build(tmp_path / "c", {"train": rows}, drawn=DrawnSplits(0.2))
    assert len(corpus.splits["valid"]) == 10
    for name, side in (("source", 0), ("target", 1)):
        words = {word for row in rows_of(corpus.splits["train"]) for word in row[side].split()}
        assert set(getattr(corpus.tokenizer, name).words[4:]) == words


class TestDrawnSplits:
    """Missing splits are drawn by source."""

    ROWS: Rows = [(f"s{i // 3 % 100}", f"t{i}") for i in range(600)]  # noqa: RUF012

    def drawn(self, folder: Path, seed: int = 0, **options: Any) -> dict[str, Rows]:
        drawn = DrawnSplits(0.1, 0.2, seed)
        corpus = build(folder, {"train": self.ROWS}, drawn=drawn, **options)
        return {name: rows_of(split) for name, split in corpus.splits.items()}

    def test_pairs_with_equal_sources_are_in_the_same_split(self, tmp_path: Path) -> None:
        parts = self.drawn(tmp_path / "c")
        sources = [{source for source, _ in rows} for rows in parts.values()]
        assert sum(map(len, sources)) == len(set().union(*sources)) == 100
        assert {name: len(rows) for name, rows in parts.items()} == {
            "train": 432,
            "valid": 48,
            "test": 120,
        }

    def test_rows_keep_their_order(self, tmp_path: Path) -> None:
        parts = self.drawn(tmp_path / "c")
        place = {row: i for i, row in enumerate(self.ROWS)}
        for rows in parts.values():
            assert [place[row] for row in rows] == sorted(place[row] for row in rows)
        assert sorted(row for rows in parts.values() for row in rows) == sorted(self.ROWS)

    def test_they_depend_on_the_seed_and_the_sources_alone(self, tmp_path: Path) -> None:
        first = self.drawn(tmp_path / "a")
        assert first == self.drawn(tmp_path / "b", settings={"lowercase": True})
        assert first != self.drawn(tmp_path / "c", seed=1)


def test_pairs_are_encoded_in_order_over_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_lab.text.tokenizer.ENCODE_CHUNK_SIZE", 3)
    rows = [("" if i % 4 == 0 else f"w{i}", "v " * (i % 5)) for i in range(23)]
    corpus = build(tmp_path / "c", {"train": rows, "valid": rows})
    assert rows_of(corpus.splits["valid"]) == rows
    kept = [row for row in rows if row[0] and row[1]]
    assert rows_of(corpus.splits["train"]) == kept
    wanted = corpus.tokenizer.encode_sources([source for source, _ in kept])
    batch = corpus.splits["train"][np.arange(len(kept))]
    assert batch.src.tolist() == wanted


def test_test_sources_that_occur_in_training_are_counted(given: PairCorpus) -> None:
    assert "test sources that also occur in training: 1" in given.notices


def test_a_given_tokenizer_encodes_all_splits(given: PairCorpus, tmp_path: Path) -> None:
    corpus = build(tmp_path / "c", {"test": [("a bird", "ein Vogel")]}, tokenizer=given.tokenizer)
    assert corpus.tokenizer.source.words == given.tokenizer.source.words
    batch = corpus.splits["test"][np.array([0])]
    assert batch.src.tolist() == given.tokenizer.encode_sources(["a bird"])


@pytest.mark.parametrize("rows", [[], [("", "a")], [("a b c", "a")]])
def test_an_empty_training_split_is_refused(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(UserError, match="the train split is empty"):
        build(tmp_path / "c", {"train": rows, "valid": VALID}, max_length=2)


def test_an_empty_drawn_split_asks_for_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the valid split is empty: set --data.valid"):
        build(tmp_path / "c", {"train": [("a", "A"), ("b", "B")]}, drawn=DrawnSplits(0.01))
