"""Data modules of sentence pairs."""

import gzip
import logging
from pathlib import Path
from typing import Any

import handmade
import pandas as pd
import pytest
import torch
from jsonargparse import ArgumentParser
from platformdirs import user_cache_path

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.datamodules import ParallelFiles, SyntheticDates, SyntheticReviews
from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.data import load_preprocessing
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.corpus import PairCorpusBuilder
from rnn_lab.tasks.translation.tokenizer import (
    PAIR_TOKENS,
    TranslationTokenizer,
    TranslationTokenizerConfig,
)
from rnn_lab.text.split import SplitConfig

CHIRPS = {"class_path": "rnn_lab.datamodules.SyntheticChirps", "init_args": {}}
WHITESPACE = TranslationTokenizerConfig("whitespace")
WORDS = TranslationTokenizerConfig("words")
ROWS = [(f"Sentence {i} is read.", f"Satz {i} wird gelesen.") for i in range(40)]


def written(path: Path, content: str, encoding: str = "utf-8") -> str:
    path.write_bytes(content.encode(encoding))
    return str(path)


def parallel(path: Path, rows: list[tuple[str, str]] = ROWS, end: str = "\n") -> list[str]:
    return [
        written(path.with_suffix(suffix), "".join(row[side] + end for row in rows))
        for side, suffix in enumerate((".en", ".de"))
    ]


def tabbed(path: Path, rows: list[tuple[str, str]] = ROWS, end: str = "\n") -> str:
    return written(path.with_suffix(".tsv"), "".join("\t".join(row) + end for row in rows))


def rows_of(data: Any, split: str) -> list[tuple[str, str]]:
    rows = data.split(split)
    return [(rows.source(row), rows.target(row)) for row in range(len(rows))]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return parallel(tmp_path / "train")


@pytest.fixture
def checkpoint(tmp_path: Path, files: list[str]) -> str:
    """Write a checkpoint with the data spec of training on the files."""
    data = ParallelFiles(train=files, tokenizer={"max_vocab_size": 60})
    return handmade.write(tmp_path / "trained.ckpt", data=data.build_spec())


class TestParallelFiles:
    """The user's own files."""

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("form", ["two files", "one file", "a list of one", "packed"])
    def test_all_file_layouts_give_the_same_data(self, tmp_path: Path, form: str, end: str) -> None:
        paths: Any = parallel(tmp_path / "train", end=end)
        if form == "packed":
            for name in paths:
                Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
            paths = [f"{name}.gz" for name in paths]
        elif form != "two files":
            paths = tabbed(tmp_path / "train", end=end)
            paths = [paths] if form == "a list of one" else paths
        data = ParallelFiles(train=paths, valid=paths)
        assert rows_of(data, "train") == rows_of(data, "valid") == ROWS

    def test_a_fraction_of_training_is_the_default_validation_split(self, files: list[str]) -> None:
        data = ParallelFiles(train=files, split=SplitConfig(0.2))
        assert len(data.split("valid")) == 8
        assert sorted(rows_of(data, "train") + rows_of(data, "valid")) == sorted(ROWS)

    def test_batches_hold_padded_pairs(self, files: list[str]) -> None:
        data = ParallelFiles(train=files, valid=files, batch_size=8)
        training, validation = (
            list(data.train_dataloader()),
            list(data.val_dataloader()),
        )
        assert len(training) == len(validation) == 5
        assert all(isinstance(batch, PairBatch) for batch in training)
        assert {len(batch.references) for batch in training} == {0}
        assert sorted(line for batch in validation for line in batch.references) == sorted(
            target for _, target in ROWS
        )

    def test_batches_can_be_limited_by_target_tokens(self, files: list[str]) -> None:
        data = ParallelFiles(train=files, valid=files, batch_tokens=60, tokenizer=WORDS)
        sizes = [int(batch.trg_lengths.sum()) for batch in data.train_dataloader()]
        assert sum(sizes) == 40 * 7
        assert len(sizes) == 5
        assert all(abs(size - 56) <= 7 for size in sizes)
        assert [len(batch.trg) for batch in data.val_dataloader()] == [40]

    def test_unicode_line_separators_do_not_end_a_line(self, tmp_path: Path) -> None:
        rows = [("a\u2028b", "A\u0085B"), ("c\vd", "C\fD\x1c"), ("e\rf", "E")]
        test = parallel(tmp_path / "test", rows)
        data = ParallelFiles(train=parallel(tmp_path / "train"), test=test)
        assert rows_of(data, "test") == rows

    def test_pairs_that_are_left_out_are_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        paths = parallel(tmp_path / "train", [*ROWS, ("", "nichts"), ("one two three four", "x")])
        with caplog.at_level(logging.INFO, "rnn_lab"):
            data = ParallelFiles(
                train=paths,
                valid=paths,
                max_length=4,
                tokenizer=TranslationTokenizerConfig("whitespace"),
            )
            assert len(data.split("train")) == 41
        messages = [record.getMessage() for record in caplog.records]
        assert [message for message in messages if "empty" in message] == [
            "ParallelFiles: 1 pairs of the train split have an empty side and are left out",
            "ParallelFiles: 1 pairs of the valid split have an empty side and are kept",
        ]
        assert "ParallelFiles: the train split has 41 pairs" in messages

    def test_different_numbers_of_lines_are_refused_with_both_files(
        self, tmp_path: Path, files: list[str]
    ) -> None:
        longer = written(tmp_path / "longer.de", "x\n" * 42)
        message = r"train\.en has 40 lines, but .*longer\.de has 42: they must be parallel"
        with pytest.raises(UserError, match=message):
            ParallelFiles(train=[files[0], longer]).split("train")
        with pytest.raises(UserError, match=r"has 42 lines, but .*train\.en has 40"):
            ParallelFiles(train=[longer, files[0]]).split("train")

    @pytest.mark.parametrize(("line", "tabs"), [("no tab", 0), ("a\tb\tc", 2)])
    def test_a_line_without_exactly_one_tab_is_refused(
        self, tmp_path: Path, line: str, tabs: int
    ) -> None:
        path = written(tmp_path / "pairs.tsv", f"a\tb\n{line}\nc\td\n")
        with pytest.raises(UserError, match=rf"pairs\.tsv line 2 has {tabs} tabs, expected one"):
            ParallelFiles(train=path).split("train")

    @pytest.mark.parametrize("blank", ["", " ", "\t"], ids=["empty", "space", "tab"])
    def test_blank_lines_count_alike_in_one_file_and_in_two(
        self, tmp_path: Path, blank: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        pairs = written(tmp_path / "pairs.tsv", f"a\tb\n{blank}\nc\td\n")
        sides = [written(tmp_path / name, f"{name}\n{blank}\n{name}\n") for name in ("en", "de")]
        for files in (pairs, sides):
            caplog.clear()
            with caplog.at_level("INFO"):
                data = ParallelFiles(train=files, valid=files)
                assert [len(data.split(name)) for name in ("train", "valid")] == [2, 3]
            messages = [record.getMessage() for record in caplog.records]
            assert [message for message in messages if "empty" in message] == [
                "ParallelFiles: 1 pairs of the train split have an empty side and are left out",
                "ParallelFiles: 1 pairs of the valid split have an empty side and are kept",
            ]

    def test_other_encodings_are_read_on_request(self, tmp_path: Path) -> None:
        path = written(tmp_path / "pairs.tsv", "a\tb\nd\u00e9j\u00e0\tschon\n" * 20, "cp1252")
        with pytest.raises(UserError, match=r"pairs\.tsv is not utf-8 at line 2 .*set its enc"):
            ParallelFiles(train=path).split("train")
        data = ParallelFiles(train=path, valid=path, encoding="cp1252")
        assert data.split("train").source(1) == "d\u00e9j\u00e0"

    def test_a_missing_file_is_named(self, tmp_path: Path, files: list[str]) -> None:
        with pytest.raises(UserError, match=r"nowhere\.de"):
            ParallelFiles(train=[files[0], str(tmp_path / "nowhere.de")]).split("train")

    def test_missing_or_superfluous_files_are_refused(self, files: list[str]) -> None:
        with pytest.raises(UserError, match="ParallelFiles needs training files"):
            ParallelFiles(test=files)
        with pytest.raises(UserError, match=r"valid must be two files, .*, got 3 files"):
            ParallelFiles(train=files, valid=["a", "b", "c"])
        with pytest.raises(UserError, match=r"no test split: set --data.test='\[SOURCES,TARGETS\]"):
            ParallelFiles(train=files).split("test")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"split": {"valid_fraction": 1}},
                "valid_fraction must be between 0 and 1, got 1",
            ),
            ({"batch_tokens": 0}, "batch_tokens must be at least 1, got 0"),
            ({"max_length": 0}, "max_length must be at least 1, got 0"),
            ({"tokenizer": {"max_vocab_size": 4}}, "max_vocab_size must be at least 5, got 4"),
            ({"tokenizer": {"moses": True}}, "moses needs the languages: set --data.source=en"),
            ({"tokenizer": {"moses": True}, "source": "en", "target": "German"}, "got 'German'"),
            (
                {"tokenizer": {"kind": "word"}},
                "kind must be one of words, .*, got 'word'",
            ),
        ],
    )
    def test_invalid_options_are_refused(
        self, files: list[str], options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            ParallelFiles(train=files, **options)

    def test_the_command_line_accepts_one_or_two_files_and_option_groups(self) -> None:
        parser = ArgumentParser()
        parser.add_class_arguments(ParallelFiles, "data")
        line = ["--data.train=[a.en,a.de]", "--data.valid=b.tsv", "--data.tokenizer.kind=words"]
        args = parser.parse_args(line).data
        assert args.tokenizer.kind == "words"
        assert args.train == ["a.en", "a.de"]
        assert args.valid == "b.tsv"

    @pytest.mark.parametrize("kind", ["words", "whitespace", "characters", "bpe"])
    @pytest.mark.parametrize("joint", [True, False])
    def test_vocabularies_have_at_most_the_maximum_size(
        self, files: list[str], kind: Any, joint: bool
    ) -> None:
        options = TranslationTokenizerConfig(kind, max_vocab_size=35, joint=joint)
        data = ParallelFiles(train=files, tokenizer=options)
        assert data.joint == data.tokenizer.joint == joint
        sizes = (data.src_vocab_size, data.trg_vocab_size)
        assert sizes == (len(data.tokenizer.source), len(data.tokenizer.target))
        special = 0 if kind == "bpe" else len(PAIR_TOKENS)
        assert max(sizes) <= 35 + special

    def test_the_languages_select_the_moses_rules(self, files: list[str]) -> None:
        options = TranslationTokenizerConfig(moses=True, lowercase=True)
        data = ParallelFiles(train=files, source="en", target="de", tokenizer=options)
        assert data.tokenizer.source.settings.moses == "en"
        assert data.tokenizer.target.settings.moses == "de"
        assert data.tokenizer.target.normalize("Ja, z.B.") == "ja , z.b."


class TestPreparation:
    """Pairs are prepared once, and again if anything they depend on changes."""

    @pytest.fixture
    def prepared(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        folders: list[Path] = []

        build = PairCorpusBuilder.build

        def record(builder: PairCorpusBuilder, folder: Path, sources: Any) -> None:
            folders.append(folder)
            build(builder, folder, sources)

        monkeypatch.setattr(PairCorpusBuilder, "build", record)
        return folders

    def test_the_same_files_and_options_are_prepared_once(
        self, files: list[str], prepared: list[Path]
    ) -> None:
        first, second = ParallelFiles(train=files), ParallelFiles(train=files, batch_tokens=99)
        assert rows_of(first, "train") == rows_of(second, "train")
        assert first.tokenizer.source.words == second.tokenizer.source.words
        assert len(prepared) == 1
        assert prepared[0].is_relative_to(user_cache_path("rnn_lab"))

    def test_temporary_files_are_removed(self, files: list[str], prepared: list[Path]) -> None:
        ParallelFiles(train=files).split("train")
        (folder,) = (path for path in prepared[0].parent.iterdir() if path.is_dir())
        assert not list(folder.glob("raw.*.normalized_*"))

    @pytest.mark.parametrize(
        "options",
        [
            {"tokenizer": {"kind": "words"}},
            {"tokenizer": {"max_vocab_size": 60}},
            {"tokenizer": {"min_freq": 2}},
            {"tokenizer": {"lowercase": True}},
            {"tokenizer": {"moses": True}, "source": "en", "target": "de"},
            {"tokenizer": {"joint": False}},
            {"max_length": 40},
            {"split": {"valid_fraction": 0.2}},
            {"split": {"seed": 1}},
            {"encoding": "latin-1"},
        ],
    )
    def test_other_options_are_prepared_separately(
        self, files: list[str], options: dict[str, Any], prepared: list[Path]
    ) -> None:
        for data in (ParallelFiles(train=files), ParallelFiles(train=files, **options)):
            data.split("train")
        assert len(prepared) == 2

    @pytest.mark.parametrize("side", [0, 1])
    def test_other_content_is_prepared_separately(
        self, files: list[str], side: int, prepared: list[Path]
    ) -> None:
        ParallelFiles(train=files).split("train")
        Path(files[side]).write_text("other\n" * 40)
        ParallelFiles(train=files, valid=files).split("train")
        assert len(prepared) == 2


class TestVocabFromCheckpoint:
    """The vocabulary of a checkpoint is used for other files."""

    def test_a_test_file_alone_is_sufficient(self, tmp_path: Path, checkpoint: str) -> None:
        rows = [("Sentence 1 is new", "Satz 1 ist neu"), ("", "leer")]
        data = ParallelFiles(
            test=parallel(tmp_path / "new", rows), vocab_from_checkpoint=checkpoint
        )
        assert rows_of(data, "test") == rows
        known = TranslationTokenizer.from_state_dict(Checkpoint.open(checkpoint).data["tokenizer"])
        assert data.tokenizer.source.words == known.source.words
        assert data.joint
        batch = next(iter(data.test_dataloader()))
        assert batch.src[0].tolist() in known.encode_sources([rows[0][0]])
        with pytest.raises(UserError, match="ParallelFiles has no train split"):
            data.split("train")

    def test_only_the_requested_split_is_read(self, tmp_path: Path, checkpoint: str) -> None:
        test = parallel(tmp_path / "new", ROWS[:3])
        data = ParallelFiles(train="missing.tsv", test=test, vocab_from_checkpoint=checkpoint)
        assert len(data.split("test")) == 3

    def test_the_checkpoint_has_no_local_paths(self, tmp_path: Path, checkpoint: str) -> None:
        spec = Checkpoint.open(checkpoint).data
        assert str(tmp_path) not in str(spec)
        assert spec["class_path"] == "rnn_lab.ParallelFiles"
        assert spec["init_args"]["tokenizer"]["max_vocab_size"] == 60
        assert "labels" not in spec

    def test_a_checkpoint_of_another_task_is_refused(self, tmp_path: Path) -> None:
        data = SyntheticReviews(train_size=20, valid_size=5, test_size=5)
        path = handmade.write(tmp_path / "reviews.ckpt", data=data.build_spec())
        with pytest.raises(UserError, match=r"not a translation .* was trained on .*Reviews"):
            ParallelFiles(test="x.tsv", vocab_from_checkpoint=path)
        path = handmade.write(tmp_path / "chirps.ckpt", data=CHIRPS)
        with pytest.raises(UserError, match=r"not a translation .* was trained on .*Chirps"):
            ParallelFiles(test="x.tsv", vocab_from_checkpoint=path)

    def test_text_classification_refuses_the_checkpoint(self, checkpoint: str) -> None:
        with pytest.raises(
            UserError, match=r"is not a text classification checkpoint: trained on .*ParallelFiles"
        ):
            load_preprocessing(checkpoint)

    def test_a_checkpoint_without_data_is_refused(self, tmp_path: Path) -> None:
        path = handmade.write(tmp_path / "loaders.ckpt")
        with pytest.raises(UserError, match="was trained without a data module"):
            ParallelFiles(test="x.tsv", vocab_from_checkpoint=path)


class TestSyntheticDates:
    """Generated dates."""

    def test_splits_have_the_requested_sizes_and_two_vocabularies(self) -> None:
        data = SyntheticDates(train_size=60, valid_size=7, test_size=5)
        assert {name: len(data.split(name)) for name in data.sizes} == data.sizes
        assert not data.joint
        assert set(data.tokenizer.target.words) == {*PAIR_TOKENS, *"0123456789-"}
        reader = data.tokenizer.target
        for row, (_, target) in enumerate(rows_of(data, "train")):
            ids = data.split("train")[torch.tensor([row]).numpy()].trg[0].tolist()
            assert reader.detokenize(reader.decode_normalized(ids)) == target

    def test_targets_can_be_in_a_language(self) -> None:
        options: dict[str, Any] = {"train_size": 20, "valid_size": 5, "test_size": 5}
        german = SyntheticDates(**options, target="de")
        assert all("." in target for _, target in rows_of(german, "valid"))
        assert rows_of(german, "train") != rows_of(SyntheticDates(**options, data_seed=1), "train")

    def test_an_invalid_size_or_language_is_refused(self) -> None:
        with pytest.raises(UserError, match="valid_size must be at least 1, got 0"):
            SyntheticDates(valid_size=0)
        with pytest.raises(UserError, match="target must be iso or a locale"):
            SyntheticDates(target="xx_yy").split("train")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_pairs_are_read_from_a_table_with_columns_of_the_languages(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"pairs{suffix}"
    frame = pd.DataFrame(ROWS, columns=["en", "de"]).assign(id=range(len(ROWS)))
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep=";")
    options: dict[str, Any] = {"train": str(path), "valid": str(path), "tokenizer": WORDS}
    data = ParallelFiles(**options, source="en", target="de")
    assert rows_of(data, "train") == ROWS
    assert data.build_spec()["text_column"] == "en"
    with pytest.raises(UserError, match=r"has no (column|key) 'source'; it has: en, de, id"):
        ParallelFiles(**options).split("train")
    with pytest.raises(UserError, match=r"has no column 'fr'; it has: en, de, id"):
        ParallelFiles(**options, source="en", target="fr").split("train")


def test_a_target_that_is_no_text_is_located(tmp_path: Path) -> None:
    frame = pd.DataFrame({"source": ["a", "b"], "target": ["x", None]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet pair 2: 'target' is None, expected a string"):
        ParallelFiles(str(tmp_path / "a.parquet")).split("train")
