from pathlib import Path

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.corpus import LMCorpus, LMCorpusBuilder
from rnn_lab.tasks.language_modeling.sampler import Segment
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END
from rnn_lab.text.tokenizer import TokenizerConfig

LINES = {"train": ["a b", "c", ""], "valid": ["b d"]}


def build(folder: Path, lines: dict[str, list[str]], **options: object) -> LMCorpus:
    folder.mkdir()
    sources = {name: (lambda some=some: some) for name, some in lines.items()}
    LMCorpusBuilder(TokenizerConfig(), **options).build(folder, sources)  # type: ignore[arg-type]
    return LMCorpus(folder)


def test_a_split_is_one_sequence_with_line_ends(tmp_path: Path) -> None:
    corpus = build(tmp_path / "c", LINES)
    words = corpus.tokenizer.decode(corpus.splits["train"].ids.tolist())
    assert words == ["a", "b", "<eos>", "c", "<eos>", "<eos>"]
    assert corpus.splits["valid"].ids.tolist()[-1] == LINE_END


def test_notices_state_sizes_and_unknown_words(tmp_path: Path) -> None:
    assert build(tmp_path / "c", LINES).notices == [
        "the train split has 6 tokens, 0.0% of them unknown",
        "the valid split has 3 tokens, 33.3% of them unknown",
        "the vocabulary has 5 words",
    ]


def test_notices_of_characters_count_characters(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    builder = LMCorpusBuilder(TokenizerConfig("characters"))
    builder.build(tmp_path / "c", {"train": lambda: ["ab"], "valid": lambda: ["b"]})
    notices = LMCorpus(tmp_path / "c").notices
    assert [notice.split(",")[0] for notice in notices] == [
        "the train split has 3 characters",
        "the valid split has 2 characters",
        "the vocabulary has 4 characters",
    ]


def test_targets_are_the_next_tokens_and_ignored_after_the_end_of_a_row(tmp_path: Path) -> None:
    split = build(tmp_path / "c", LINES).splits["train"]
    segment = Segment(np.array([0, 3]), np.array([3, 5]), 3, True, 1.0)
    batch = split[segment]
    ids = split.ids.tolist()
    assert batch.tokens.tolist() == [ids[0:3], ids[3:6]]
    assert batch.targets.tolist() == [ids[1:4], [*ids[4:6], IGNORE_INDEX]]


def test_a_given_tokenizer_encodes_all_splits(tmp_path: Path) -> None:
    tokenizer = build(tmp_path / "a", LINES).tokenizer
    corpus = build(tmp_path / "b", {"test": ["c a"]}, tokenizer=tokenizer)
    assert corpus.tokenizer.words == tokenizer.words
    assert corpus.splits["test"].ids.tolist() == [*tokenizer.encode(["c a"])[0], LINE_END]


def test_a_split_without_a_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the valid split is empty"):
        build(tmp_path / "c", {**LINES, "valid": [""]})
