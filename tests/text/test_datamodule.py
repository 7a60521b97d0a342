from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.records import Record
from rnn_lab.tasks.text_classification.corpus import TextCorpusBuilder
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig
from rnn_lab.text.datamodule import CorpusDataModule


class Fruits(CorpusDataModule):
    """A dataset with a training split only."""

    def sources(self) -> dict[str, Callable[[], Iterable[Any]]]:
        return {"train": lambda: [Record(f"apple {i}", ("fruit",)) for i in range(20)]}

    def fingerprint(self, split: str) -> Any:
        return ["fruits", split]

    def corpus_builder(self) -> TextCorpusBuilder:
        return TextCorpusBuilder(TruncatingTokenizerConfig())


def test_all_splits_are_in_one_corpus() -> None:
    data = Fruits()
    assert data.corpus("train") is data.corpus("valid")
    assert len(data.split("train")) + len(data.split("valid")) == 20


def test_a_missing_split_is_refused_with_the_existing_ones() -> None:
    with pytest.raises(UserError, match="Fruits has no test split: its splits are train, valid"):
        Fruits().split("test")


def test_the_corpus_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Fruits().split("train").text(0)
    monkeypatch.setattr(TextCorpusBuilder, "build", lambda *_: pytest.fail("built again"))
    assert Fruits().split("train").text(0) == expected
