"""Texts that go on from batch to batch: every word once, in order, wherever it is cut."""

import gzip
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnn_lab.datamodules import LanguageModelingFiles, SyntheticText, TinyShakespeare, WikiText2
from rnn_lab.errors import UserError
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.data import stretch
from rnn_lab.tasks.language_modeling.sampler import BPTTSampler
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.text.tokenizer import TokenizerConfig

LINES = [f"word{n} goes on to word{n + 1}" for n in range(10, 70)]


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return str(path)


def numbered(file, **options):
    """The text in which no word but its first line end occurs twice in a row, all three splits."""
    return LanguageModelingFiles(file, file, file, **{"tokenizer": "whitespace", **options})


def ids_of(data, name="train"):
    return np.array(data.split(name).ids).tolist()


def predicted(batches):
    """Pairs of word and next word, as they are given."""
    return [
        pair
        for batch in batches
        for pair in zip(*(part.flatten().tolist() for part in batch[:2]), strict=True)
        if pair[1] != IGNORE_INDEX
    ]


def pairs_of(ids):
    return sorted(pairwise(ids))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 500])
@pytest.mark.parametrize(("bptt", "variable_bptt"), [(2, False), (35, False), (10, True)])
def test_every_word_after_the_first_is_predicted_once_after_the_word_before(
    file, batch_size, bptt, variable_bptt
):
    data = numbered(file, batch_size=batch_size, bptt=bptt, variable_bptt=variable_bptt)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert sorted(predicted(batches)) == pairs_of(ids_of(data))


@pytest.mark.parametrize("variable_bptt", [False, True])
def test_rows_go_on_where_the_last_batch_stopped(file, variable_bptt):
    data = numbered(file, batch_size=3, bptt=10, variable_bptt=variable_bptt)
    batches = list(data.train_dataloader())
    assert [batch.reset_state for batch in batches] == [True] + [False] * (len(batches) - 1)
    ids = ids_of(data)
    rows = torch.cat([batch.tokens for batch in batches], 1).tolist()
    starts = [len(ids[:-1]) * row // 3 for row in range(3)]
    for start, row in zip(starts, rows, strict=True):
        assert row == ids[start : start + len(row)]


def test_only_the_last_step_of_a_shorter_row_has_no_target(file):
    data = numbered(file, batch_size=7, bptt=10)
    batches = list(data.train_dataloader())
    assert all((batch.targets != IGNORE_INDEX).all() for batch in batches[:-1])
    ignored = batches[-1].targets == IGNORE_INDEX
    assert not ignored[:, :-1].any()
    assert ignored.sum() == -(len(ids_of(data)) - 1) % 7


def test_no_batch_is_longer_than_asked_or_much_shorter_than_the_others(file):
    data = numbered(file, batch_size=2, bptt=17)
    steps = [batch.tokens.shape[1] for batch in data.train_dataloader()]
    assert max(steps) <= 17
    assert max(steps) - min(steps) <= 1


def test_lengths_vary_by_seed_and_epoch_and_no_epoch_has_more_batches():
    def steps(seed, epoch):
        plan = BPTTSampler(200_000, 10, 70, variable_bptt=True, seed=seed)
        return [span.steps for span in plan.plan(epoch)]

    drawn = steps(0, 0)
    assert drawn == steps(0, 0)
    assert len({tuple(steps(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert len({len(steps(0, epoch)) for epoch in range(5)}) == 1
    usual = [n for n in drawn if n > 52]
    assert 0.9 < len(usual) / len(drawn) < 1
    assert np.mean(usual) == pytest.approx(70, abs=2)
    assert 3 < np.std(usual) < 7
    assert np.mean([n for n in drawn if n <= 52]) == pytest.approx(35, abs=4)


def test_a_varied_batch_says_how_long_it_is_and_evaluation_never_varies(file):
    data = numbered(file, batch_size=2, bptt=10, variable_bptt=True)
    for batch in data.train_dataloader():
        assert batch.lr_scale == batch.tokens.shape[1] / 10
    steps = {batch.tokens.shape[1] for batch in data.val_dataloader()}
    assert max(steps) - min(steps) <= 1
    assert {batch.lr_scale for batch in data.val_dataloader()} == {1.0}
    assert {batch.lr_scale for batch in numbered(file).train_dataloader()} == {1.0}


def test_evaluation_is_cut_by_eval_rows_alone(file):
    def rows(**options):
        (batch, *_) = numbered(file, **options).val_dataloader()
        return len(batch.tokens)

    assert rows(batch_size=3) == rows(batch_size=50) == 10
    assert rows(batch_size=3, eval_batch_size=1) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize(("bptt", "variable_bptt"), [(2, False), (35, False), (12, True)])
def test_processes_share_the_words_in_equally_many_batches(file, batch_size, bptt, variable_bptt):
    given = {"train_dataloader": [], "val_dataloader": []}
    for name, batches in given.items():
        counts = set()
        for rank in range(3):
            data = numbered(
                file,
                batch_size=batch_size,
                bptt=bptt,
                variable_bptt=variable_bptt,
                eval_batch_size=1,
            )
            data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
            mine = list(getattr(data, name)())
            assert all((batch.targets != IGNORE_INDEX).any() for batch in mine)
            counts.add((len(mine), tuple(batch.tokens.shape[1] for batch in mine)))
            batches += mine
        assert len(counts) == 1
        assert sorted(predicted(batches)) == pairs_of(ids_of(data))


@pytest.mark.parametrize("variable_bptt", [False, True])
def test_a_resumed_epoch_gives_the_rest_exactly(file, variable_bptt):
    def epoch(data, number=2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        return loader

    whole = list(epoch(numbered(file, batch_size=2, bptt=10, variable_bptt=variable_bptt)))
    first = numbered(file, batch_size=2, bptt=10, variable_bptt=variable_bptt)
    batches = iter(epoch(first))
    for _ in range(3):
        next(batches)
    second = numbered(file, batch_size=2, bptt=10, variable_bptt=variable_bptt)
    second.load_state_dict(first.state_dict())
    rest = list(epoch(second))
    assert [batch.tokens.tolist() for batch in rest] == [b.tokens.tolist() for b in whole[3:]]
    assert not rest[0].reset_state


def test_validation_takes_the_end_of_the_training_text_where_there_is_no_file(file):
    data = LanguageModelingFiles(file, valid_fraction=0.25)
    train, valid = (data.reader.text(ids_of(data, name)) for name in ("train", "valid"))
    assert train == "\n".join(LINES[:45]) + "\n"
    assert valid.count("<unk>") > 0  # words that only the end has
    assert valid.count("\n") == 15


def test_a_stretch_has_the_lines_that_begin_in_it():
    lines = ["aaa", "bbb", "", "ccc"]  # begin at 0, 4, 8 and 9 of 13 characters
    assert list(stretch(lambda: lines, 0, 0.3)) == ["aaa"]
    assert list(stretch(lambda: lines, 0.3, 0.65)) == ["bbb", ""]
    assert list(stretch(lambda: lines, 0.65, 1)) == ["ccc"]


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "characters", "bpe", "unigram"])
def test_what_was_read_can_be_written_again(tokenizer):
    lines = ["so it goes", "", "it goes on and on"] * 20
    reader = LMTokenizer.learn(TokenizerConfig(tokenizer, lowercase=False), lines)
    ids = reader.encode_lines(lines)
    assert ids.count(LINE_END) == len(lines)
    assert reader.text(ids) == "\n".join(lines) + "\n"


def test_the_vocabulary_is_that_of_training_with_line_end_and_unknown_first(tmp_path):
    (tmp_path / "a.txt").write_text("b a b <unk> <eos>\n")
    (tmp_path / "b.txt").write_text("a c\n")
    data = LanguageModelingFiles(f"{tmp_path}/a.txt", f"{tmp_path}/b.txt", tokenizer="whitespace")
    assert data.reader.words == ["<eos>", "<unk>", "b", "a"]
    assert data.vocab_size == 4
    assert ids_of(data) == [2, 3, 2, 1, 1, 0]  # nobody writes a line end but a line end
    assert ids_of(data, "valid") == [3, 1, 0]
    assert data.split("train").ids.dtype == np.uint16


def test_a_compressed_file_reads_alike(tmp_path, file):
    with gzip.open(tmp_path / "text.txt.gz", "wt") as packed:
        packed.write("".join(f"{line}\n" for line in LINES))
    assert ids_of(numbered(str(tmp_path / "text.txt.gz"))) == ids_of(numbered(file))


def test_generated_text_is_the_same_for_a_seed():
    first, again, other = (SyntheticText(20, 5, 5, seed) for seed in (0, 0, 1))
    assert ids_of(first) == ids_of(again)
    assert first.reader.text(ids_of(first)) != other.reader.text(ids_of(other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bptt": 1}, "bptt must be at least 2, got 1"),
        (
            {"bptt": 9, "variable_bptt": True},
            "bptt must be at least 10 with variable_bptt=true, got 9",
        ),
        ({"eval_batch_size": 0}, "eval_batch_size must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"valid_fraction": 1.0}, "valid_fraction must be between 0 and 1, got 1.0"),
    ],
)
def test_numbers_without_a_meaning_are_refused(file, options, message):
    with pytest.raises(UserError, match=message):
        LanguageModelingFiles(file, **options)


def test_files_that_are_missing_or_too_short_are_refused(tmp_path, file):
    with pytest.raises(UserError, match=r"give --data\.train=FILE"):
        LanguageModelingFiles()
    with pytest.raises(UserError, match=r"no test split: give --data\.test=FILE"):
        LanguageModelingFiles(file).split("test")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="the valid split has no text to read"):
        LanguageModelingFiles(file, f"{tmp_path}/empty.txt").split("valid")
    (tmp_path / "two.txt").write_text("a\n")
    data = LanguageModelingFiles(f"{tmp_path}/two.txt", file)
    data.trainer = SimpleNamespace(global_rank=0, world_size=2)
    with pytest.raises(UserError, match="train: a text of 2 words is too short for 2 processes"):
        data.train_dataloader()


@pytest.mark.data
@pytest.mark.slow
def test_wikitext_has_the_words_that_are_published(data_root):
    data = WikiText2(root=str(data_root))
    sizes = {name: len(data.split(name)) for name in ("train", "valid", "test")}
    assert sizes == {"train": 2_088_628, "valid": 217_646, "test": 245_569}
    assert data.vocab_size == 33_278
    assert data.reader.text(ids_of(data)[:6]) == "\n= Valkyria Chronicles III ="


@pytest.mark.data
@pytest.mark.slow
def test_shakespeare_is_read_by_character_to_the_last(data_root):
    data = TinyShakespeare(root=str(data_root))
    names = ("train", "valid", "test")
    text = "".join(data.reader.text(ids_of(data, name)) for name in names)
    assert text == (data_root / "tinyshakespeare/input.txt").read_text()
    assert len(data.split("train")) / len(text) == pytest.approx(0.9, abs=1e-3)
    assert len(data.split("valid")) / len(text) == pytest.approx(0.05, abs=1e-3)
    assert data.vocab_size == 66  # 65 different ones, the line end among them, and the unknown
