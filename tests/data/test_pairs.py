"""Laws of sentence pairs: nothing shifts, the vocabulary is the training split's, ids read back."""

from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from rnn_lab.batches import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from rnn_lab.data import Multi30k, PairDataModule
from rnn_lab.data.pairs import read_parallel
from rnn_lab.data.sentences import PairReader
from rnn_lab.errors import UserError

TRAIN = [("A dog runs.", "Ein Hund rennt."), ("A cat sleeps!", "Eine Katze schläft!")] * 4
VALID = [("A dog sleeps.", "Ein Hund schläft."), ("", ""), ("A zebra.", "Ein Zebra.")]


class Few(PairDataModule):
    """A few pairs, given as a list for each split."""

    given: ClassVar = {"train": TRAIN, "valid": VALID}

    def sources(self):
        from rnn_lab.data.pair_corpus import Pair

        return {name: partial(map, Pair._make, pairs) for name, pairs in self.given.items()}

    def content(self, split):
        return self.given[split]


KINDS = ("words", "whitespace", "characters", "bpe", "unigram")
every_tokenizer = pytest.mark.parametrize("tokenizer", KINDS)


def few(**options):
    return Few(**{"vocab_size": 60, "source": "en", "target": "de", **options})


@every_tokenizer
@pytest.mark.parametrize("joint", [True, False])
def test_a_batch_holds_the_ids_of_its_lines(tokenizer, joint):
    data = few(tokenizer=tokenizer, joint=joint)
    split = data.split("valid")
    batch = split[np.arange(len(VALID))]
    src, trg = zip(*VALID, strict=True)
    for rows, lengths, wanted in (
        (batch.src, batch.src_lengths, data.reader.encode_sources(list(src))),
        (batch.trg, batch.trg_lengths, data.reader.encode_targets(list(trg))),
    ):
        for row, length, ids in zip(rows.tolist(), lengths.tolist(), wanted, strict=True):
            assert row[:length] == ids
            assert ids[-1] == EOS_ID
            assert set(row[length:]) <= {PAD_ID}
    assert (batch.trg[:, 0] == BOS_ID).all()
    assert batch.references == trg


def test_an_empty_line_keeps_its_place_in_evaluation():
    split = few().split("valid")
    assert [split.source(row) for row in range(len(split))] == [pair[0] for pair in VALID]
    assert split.lengths[1].tolist() == [1, 2]


def test_the_vocabulary_is_learned_from_training_alone():
    data = few(tokenizer="words")
    assert UNK_ID in data.reader.encode_sources(["A zebra."])[0]
    assert UNK_ID not in data.reader.encode_sources(["A dog."])[0]


@every_tokenizer
@pytest.mark.parametrize("moses", [True, False])
def test_ids_of_known_text_read_back_after_a_checkpoint(tokenizer, moses):
    data = few(tokenizer=tokenizer, moses=moses, lowercase=True)
    reader = PairReader.from_state_dict(data.reader.state_dict()).target
    line = TRAIN[1][1]
    text = reader.joined(reader.encode([line])[0])
    assert text.replace(" ", "") == reader.normalised(line).replace(" ", "")
    if moses and tokenizer in ("whitespace", "characters", "bpe", "unigram"):
        assert text == reader.normalised(line) == "eine katze schläft !"
        assert reader.plain(text) == "eine katze schläft!"


def test_a_joint_vocabulary_is_one():
    joint, apart = few(tokenizer="words"), few(tokenizer="words", joint=False)
    assert joint.reader.source.words == joint.reader.target.words
    assert apart.src_vocab_size < joint.src_vocab_size == joint.trg_vocab_size
    assert "Hund" not in apart.reader.source.words


def test_batches_by_tokens_read_every_pair_once():
    data = few(batch_tokens=12)
    loader = data.train_dataloader()
    batches = list(loader)
    assert sum(len(batch.src) for batch in batches) == len(data.split("train"))
    assert len(batches) == len(loader) > 2


def test_files_of_unlike_length_are_refused(tmp_path):
    (tmp_path / "a.en").write_text("one\ntwo\n")
    (tmp_path / "a.de").write_text("eins\n")
    with pytest.raises(UserError, match=r"a\.en has 2 lines, .*a\.de has 1"):
        list(read_parallel(tmp_path / "a.en", tmp_path / "a.de"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_fraction": 1.0}, "valid_fraction must be between 0 and 1"),
        ({"batch_tokens": 0}, "batch_tokens must be at least 1, got 0"),
        ({"moses": True, "source": None}, "moses needs to know the languages"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        few(**options)


@pytest.mark.data
def test_multi30k_has_its_published_sizes(data_root):
    data = Multi30k()
    assert [len(data.split(name)) for name in ("train", "valid", "test")] == [29_000, 1014, 1000]
    line = data.split("test").target(0)
    target = data.reader.target
    assert target.joined(target.encode([line])[0]) == target.normalised(line)
