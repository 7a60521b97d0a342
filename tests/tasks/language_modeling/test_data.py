"""Laws of language modeling data: every token is a target once, in order, however it is cut."""

import gzip
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lab.datamodules import LanguageModelingFiles, SyntheticText
from rnn_lab.errors import UserError
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.data import lines_between

LINES = [f"word{n} goes on to word{n + 1}" for n in range(10, 70)]


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return str(path)


def build(file, **options):
    """One file as all three splits, split at white space."""
    return LanguageModelingFiles(
        file, file, file, **{"tokenizer": {"kind": "whitespace"}, **options}
    )


def ids_of(data, name="train"):
    return np.array(data.split(name).ids).tolist()


def token_pairs(batches):
    """All pairs of a token and its target, in the order of the batches."""
    return [
        pair
        for batch in batches
        for pair in zip(*(part.flatten().tolist() for part in batch[:2]), strict=True)
        if pair[1] != IGNORE_INDEX
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 500])
@pytest.mark.parametrize(("bptt", "variable_bptt"), [(2, False), (35, False), (10, True)])
def test_every_token_after_the_first_is_a_target_once(file, batch_size, bptt, variable_bptt):
    data = build(file, batch_size=batch_size, bptt=bptt, variable_bptt=variable_bptt)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert sorted(token_pairs(batches)) == sorted(pairwise(ids_of(data)))


@pytest.mark.parametrize("variable_bptt", [False, True])
def test_each_batch_continues_the_rows_of_the_last(file, variable_bptt):
    data = build(file, batch_size=3, bptt=10, variable_bptt=variable_bptt)
    batches = list(data.train_dataloader())
    assert [batch.reset_state for batch in batches] == [True] + [False] * (len(batches) - 1)
    ids = ids_of(data)
    rows = torch.cat([batch.tokens for batch in batches], 1).tolist()
    starts = [len(ids[:-1]) * row // 3 for row in range(3)]
    for start, row in zip(starts, rows, strict=True):
        assert row == ids[start : start + len(row)]


def test_only_the_last_step_of_a_shorter_row_has_no_target(file):
    data = build(file, batch_size=7, bptt=10)
    batches = list(data.train_dataloader())
    assert all((batch.targets != IGNORE_INDEX).all() for batch in batches[:-1])
    ignored = batches[-1].targets == IGNORE_INDEX
    assert not ignored[:, :-1].any()
    assert ignored.sum() == -(len(ids_of(data)) - 1) % 7


def test_the_learning_rate_scale_follows_the_length_in_training_only(file):
    data = build(file, batch_size=2, bptt=10, variable_bptt=True)
    for batch in data.train_dataloader():
        assert batch.lr_scale == batch.tokens.shape[1] / 10
    steps = {batch.tokens.shape[1] for batch in data.val_dataloader()}
    assert max(steps) - min(steps) <= 1
    assert {batch.lr_scale for batch in data.val_dataloader()} == {1.0}
    assert {batch.lr_scale for batch in build(file).train_dataloader()} == {1.0}


def test_evaluation_uses_eval_batch_size_only(file):
    def rows(**options):
        (batch, *_) = build(file, **options).val_dataloader()
        return len(batch.tokens)

    assert rows(batch_size=3) == rows(batch_size=50) == 10
    assert rows(batch_size=3, eval_batch_size=1) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize(("bptt", "variable_bptt"), [(2, False), (35, False), (12, True)])
def test_processes_divide_the_tokens_into_equally_many_batches(
    file, batch_size, bptt, variable_bptt
):
    batches_of = {"train_dataloader": [], "val_dataloader": []}
    options = {"bptt": bptt, "variable_bptt": variable_bptt, "eval_batch_size": 1}
    for name, batches in batches_of.items():
        shapes = set()
        for rank in range(3):
            data = build(file, batch_size=batch_size, **options)
            data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
            mine = list(getattr(data, name)())
            assert all((batch.targets != IGNORE_INDEX).any() for batch in mine)
            shapes.add((len(mine), tuple(batch.tokens.shape[1] for batch in mine)))
            batches += mine
        assert len(shapes) == 1
        assert sorted(token_pairs(batches)) == sorted(pairwise(ids_of(data)))


@pytest.mark.parametrize("variable_bptt", [False, True])
def test_a_resumed_epoch_has_exactly_the_remaining_batches(file, variable_bptt):
    def loader_of(data, epoch=2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return loader

    options = {"batch_size": 2, "bptt": 10, "variable_bptt": variable_bptt}
    expected = list(loader_of(build(file, **options)))
    interrupted, resumed = build(file, **options), build(file, **options)
    batches = iter(loader_of(interrupted))
    for _ in range(3):
        next(batches)
    resumed.load_state_dict(interrupted.state_dict())
    rest = list(loader_of(resumed))
    assert [batch.tokens.tolist() for batch in rest] == [b.tokens.tolist() for b in expected[3:]]
    assert not rest[0].reset_state


def test_the_end_of_the_training_text_is_held_out_without_a_validation_file(file):
    data = LanguageModelingFiles(file, valid_fraction=0.25)
    train, valid = (data.tokenizer.text(ids_of(data, name)) for name in ("train", "valid"))
    assert train == "\n".join(LINES[:45]) + "\n"
    assert valid.count("<unk>") > 0  # words that occur only at the end
    assert valid.count("\n") == 15


def test_lines_between_two_positions_are_those_that_begin_there():
    lines = ["aaa", "bbb", "", "ccc"]  # begin at 0, 4, 8 and 9 of 13 characters
    assert list(lines_between(lambda: lines, 0, 0.3)) == ["aaa"]
    assert list(lines_between(lambda: lines, 0.3, 0.65)) == ["bbb", ""]
    assert list(lines_between(lambda: lines, 0.65, 1)) == ["ccc"]


def test_the_vocabulary_is_learned_from_the_training_split(tmp_path):
    (tmp_path / "a.txt").write_text("b a b <unk> <eos>\n")
    (tmp_path / "b.txt").write_text("a c\n")
    files = f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"
    data = LanguageModelingFiles(*files, tokenizer={"kind": "whitespace"})
    assert data.tokenizer.words == ["<eos>", "<unk>", "b", "a"]
    assert data.vocab_size == 4
    assert ids_of(data) == [2, 3, 2, 1, 1, 0]  # "<eos>" in the text is an unknown word
    assert ids_of(data, "valid") == [3, 1, 0]
    assert data.split("train").ids.dtype == np.uint16


def test_a_compressed_file_gives_the_same_ids(tmp_path, file):
    with gzip.open(tmp_path / "text.txt.gz", "wt") as compressed:
        compressed.write("".join(f"{line}\n" for line in LINES))
    assert ids_of(build(str(tmp_path / "text.txt.gz"))) == ids_of(build(file))


def test_generated_text_depends_on_the_seed():
    first, same, other = (SyntheticText(20, 5, 5, seed) for seed in (0, 0, 1))
    assert ids_of(first) == ids_of(same)
    assert first.tokenizer.text(ids_of(first)) != other.tokenizer.text(ids_of(other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bptt": 1}, "bptt must be at least 2, got 1"),
        ({"bptt": 9, "variable_bptt": True}, "at least 10 with variable_bptt=true, got 9"),
        ({"eval_batch_size": 0}, "eval_batch_size must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"valid_fraction": 1.0}, "valid_fraction must be between 0 and 1, got 1.0"),
        ({"valid_fraction": 0.2, "valid": "v.txt"}, "has no effect if valid is set: remove one"),
        (
            {"tokenizer": {"kind": "letters"}},
            "kind must be one of words, whitespace",
        ),
        ({"tokenizer": {"min_freq": 0}}, "tokenizer.min_freq must be at least 1, got 0"),
    ],
)
def test_invalid_options_are_refused(file, options, message):
    with pytest.raises(UserError, match=message):
        LanguageModelingFiles(file, **options)


def test_missing_and_too_short_files_are_refused(tmp_path, file):
    with pytest.raises(UserError, match=r"set --data\.train=FILE"):
        LanguageModelingFiles()
    with pytest.raises(UserError, match=r"no test split: set --data\.test=FILE"):
        LanguageModelingFiles(file).split("test")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="the valid split"):
        LanguageModelingFiles(file, f"{tmp_path}/empty.txt").split("valid")
    (tmp_path / "two.txt").write_text("a\n")
    data = LanguageModelingFiles(f"{tmp_path}/two.txt", file)
    data.trainer = SimpleNamespace(global_rank=0, world_size=2)
    with pytest.raises(UserError, match="train: a text of 2 tokens is too short for 2 processes"):
        data.train_dataloader()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_texts_of_a_table_are_running_text(tmp_path, suffix):
    texts = ["one two\nthree", "", "four"]
    frame, path = pd.DataFrame({"body": texts}), tmp_path / f"a{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_json(
        path, orient="records", lines=True
    )
    (tmp_path / "a.txt").write_text("one two\nthree\n\nfour\n")
    plain, table = f"{tmp_path}/a.txt", str(path)
    expected = LanguageModelingFiles(plain, plain)
    data = LanguageModelingFiles(table, table, text_column="body")
    assert data.tokenizer.state_dict() == expected.tokenizer.state_dict()
    assert data.split("train").ids.tolist() == expected.split("train").ids.tolist()
    with pytest.raises(UserError, match=r"has no (column|key) 'text'; it has: body"):
        LanguageModelingFiles(table, table).split("train")
