"""Properties of all translators."""

import math

import pytest
import torch
from lightning import Trainer

from rnn_lab.core.predictor import pad_ids
from rnn_lab.datamodules import ParallelFiles, SyntheticDates
from rnn_lab.errors import UserError
from rnn_lab.models import (
    AttentionTranslator,
    Seq2SeqTranslator,
    TransformerTranslator,
    Translator,
)
from rnn_lab.nn import GREEDY, GenerationConfig, Seq2SeqDropouts
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig
from rnn_lab.tasks.translation.reports import TranslationReport
from rnn_lab.tasks.translation.tokenizer import SentenceTokenizerConfig, TranslationTokenizer

VOCAB = 12


def configurable(**attention):
    """A Translator whose decoder has the given attention and further options."""

    def build(*sizes, decoder=None, **arguments):
        return Translator(
            *sizes, decoder=DecoderConfig(**attention, **(decoder or {})), **arguments
        )

    return build


def transformer(source, target, _, hidden_dim, **arguments):
    return TransformerTranslator(source, target, hidden_dim, 2, **arguments)


ALL = {
    "Seq2SeqTranslator": Seq2SeqTranslator,
    "AttentionTranslator": AttentionTranslator,
    "TransformerTranslator": transformer,
    "before": configurable(attention_position="before"),
    "after": configurable(attention_position="after"),
    "input feeding": configurable(attention_position="after", input_feeding=True),
}
every_translator = pytest.mark.parametrize("name", ALL)


def build(name, **arguments):
    torch.manual_seed(0)
    return ALL[name](VOCAB, VOCAB, 8, 16, **arguments)


def batch_of(rows=8):
    """Sources of different lengths; targets are the reversed sources."""
    torch.manual_seed(1)
    lengths = torch.randint(1, 6, (rows,))
    src, trg = torch.zeros(rows, 6, dtype=torch.long), torch.zeros(rows, 7, dtype=torch.long)
    for row, n in enumerate(lengths.tolist()):
        words = torch.randint(4, VOCAB, (n,))
        src[row, :n], src[row, n] = words, 3
        trg[row, 0], trg[row, 1 : n + 1], trg[row, n + 1] = 2, words.flip(0), 3
    return PairBatch(src, trg, lengths + 1, lengths + 2)


def decoded(model, batch, search=None):
    return [best.tokens for best, *_ in model.decode(batch.src, batch.src_lengths, search)]


def pick(batch, rows, wider=0):
    src = torch.cat([batch.src, torch.full((len(batch.src), wider), 7)], 1)
    parts = (src, batch.trg, batch.src_lengths, batch.trg_lengths)
    return PairBatch(*(part[rows] for part in parts))


@every_translator
@pytest.mark.parametrize("search", [GREEDY, GenerationConfig(3)], ids=["greedy", "beam"])
def test_a_translation_does_not_depend_on_batch_padding_or_order(name, search):
    model, batch = build(name).eval(), batch_of()
    together = decoded(model, batch, search)
    order = torch.randperm(8)
    assert decoded(model, pick(batch, order, 4), search) == [together[i] for i in order]
    for row in range(8):
        n = batch.src_lengths[row]
        alone = pick(batch, slice(row, row + 1))
        assert decoded(model, alone._replace(src=alone.src[:, :n]), search) == [together[row]]


@every_translator
def test_the_loss_is_the_mean_over_real_tokens(name):
    model, batch = build(name).eval(), batch_of()
    loss = model.net.loss(batch.src, batch.trg, 1.0, batch.src_lengths)
    logits = model(batch.src, batch.trg, 1.0, batch.src_lengths)[:, 1:]
    true = batch.trg[:, 1:]
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), true, reduction="none")
    torch.testing.assert_close(loss, each[true != 0].mean())


@every_translator
def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    model.step(batch_of()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@every_translator
def test_memorizes_eight_examples(name):
    model, batch = build(name), batch_of()
    model.eval()
    rate = 0.01 if name == "TransformerTranslator" else 0.03
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(100):
        optimizer.zero_grad()
        model.net.loss(batch.src, batch.trg, 1.0, batch.src_lengths).backward()
        optimizer.step()
    wanted = [row[1 : n - 1].tolist() for row, n in zip(batch.trg, batch.trg_lengths, strict=True)]
    assert decoded(model, batch, GREEDY) == wanted
    assert decoded(model, batch) == wanted


@every_translator
def test_a_saved_checkpoint_translates_the_same(name, tmp_path):
    model, batch = build(name).eval(), batch_of()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    first, second = (m.decode(batch.src, batch.src_lengths) for m in (model, again))
    assert [row[0].tokens for row in first] == [row[0].tokens for row in second]
    assert [row[0].score for row in first] == [row[0].score for row in second]


@every_translator
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_the_configurable_translator_works_with_any_layer_and_all_options(name, layer):
    if not name.endswith("Translator"):
        model = build(
            name,
            layer=layer,
            encoder=EncoderConfig(num_layers=1, hidden_dim=5, layer_norm=True),
            decoder={"bridge": "dense", "layer_norm": True},
            dropouts=Seq2SeqDropouts(0.3, 0.3, 0.3, 0.3, 0.1, variational=True),
            label_smoothing=0.1,
        )
        batch = batch_of()
        model.step(batch).loss.backward()
        assert model.eval().decode(batch.src, batch.src_lengths)


@pytest.mark.parametrize("tied", ["decoder", "all"])
def test_tied_embeddings_are_one_parameter(tied):
    model = build("before", decoder={"tie_embeddings": tied}, label_smoothing=0.1)
    count = sum(table.shape == (VOCAB, 8) for table in model.parameters())
    assert count == (1 if tied == "all" else 2)
    assert model.net.decoder.fc.weight is model.net.decoder.embedding.table.weight
    model.step(batch_of()).loss.backward()
    assert model.net.decoder.fc.weight.grad.abs().sum() > 0


def test_tied_embeddings_stay_tied_after_loading():
    model, again = (build("before", decoder={"tie_embeddings": "all"}) for _ in range(2))
    again.load_state_dict(model.state_dict())
    assert again.net.encoder.embedding.table.weight is again.net.decoder.fc.weight


def test_an_ensemble_of_equal_models_is_the_model():
    model, batch = build("AttentionTranslator").eval(), batch_of()
    model.translate = lambda batch, strategy: [""] * len(batch.src)
    alone, loss = decoded(model, batch), model.step(batch).loss
    model.ensemble = [build("AttentionTranslator").eval()]
    assert decoded(model, batch) == alone
    torch.testing.assert_close(model.step(batch).loss, loss)


def test_training_reads_its_own_predictions_at_a_teacher_forcing_ratio_below_one(monkeypatch):
    model, batch = build("before", scheduled_sampling={"initial_ratio": 0.25}), batch_of()
    ratios = []
    monkeypatch.setattr(model.net, "loss", lambda src, trg, ratio, *_: ratios.append(ratio))
    model.step(batch)
    assert ratios == [0.25]


def dates():
    return SyntheticDates(64, 16, 16, batch_size=16)


def trainer(tmp_path, **options):
    fixed = dict(accelerator="cpu", logger=False, enable_progress_bar=False)
    quiet = dict(enable_model_summary=False, enable_checkpointing=False)
    return Trainer(default_root_dir=tmp_path, **(fixed | quiet | options))


@pytest.mark.parametrize("cls", [AttentionTranslator, TransformerTranslator])
def test_fit_and_test_log_all_metrics_and_write_reports(cls, tmp_path):
    data = dates()
    sizes = (8, 16) if cls is AttentionTranslator else (8, 1)
    model = cls(data.src_vocab_size, data.trg_vocab_size, *sizes)
    fit = trainer(tmp_path, max_epochs=1, callbacks=[TranslationReport()])
    fit.fit(model, data)
    measured = {"loss", "perplexity", "bleu", "chrf", "ter", "exact_match"}
    assert {f"val/{name}" for name in measured} <= fit.callback_metrics.keys()
    loss = float(fit.callback_metrics["val/loss"])
    assert float(fit.callback_metrics["val/perplexity"]) == pytest.approx(math.exp(loss))
    fit.test(model, data, verbose=False)
    assert {f"test/{name}" for name in measured} <= fit.callback_metrics.keys()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {"scores.json", "translations.csv", "attention/test-0.png"} <= left


def test_a_model_without_attention_writes_no_attention_map(tmp_path):
    data = dates()
    model = Seq2SeqTranslator(data.src_vocab_size, data.trg_vocab_size, 8, 16)
    trainer(tmp_path, callbacks=[TranslationReport()]).test(model, data, verbose=False)
    assert not (tmp_path / "attention").exists()


def test_validation_is_greedy_and_the_test_uses_beam_search(tmp_path, monkeypatch):
    data, seen = dates(), []
    model = Translator(data.src_vocab_size, data.trg_vocab_size, 8, 16, search=GenerationConfig(3))
    keep = Translator.translate

    def watch(self, batch, search):
        seen.append(search.beam_size)
        return keep(self, batch, search)

    monkeypatch.setattr(Translator, "translate", watch)
    run = trainer(tmp_path)
    run.validate(model, data, verbose=False)
    assert set(seen) == {1}
    seen.clear()
    run.test(model, data, verbose=False)
    assert set(seen) == {3}


def test_evaluation_loss_is_without_smoothing_and_in_full_precision():
    model, batch = build("before", label_smoothing=0.3, dropouts={"layer": 0.5}).eval(), batch_of()
    model.translate = lambda batch, strategy: [""] * len(batch.src)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.step(batch).loss
    expected = model.net.loss(batch.src, batch.trg, 1.0, batch.src_lengths)
    assert torch.equal(loss, expected)


def test_an_empty_source_has_an_empty_translation(tmp_path):
    text = "".join(f"word {i}\tWort {i}\n" for i in range(20))
    (tmp_path / "train.tsv").write_text(text)
    (tmp_path / "test.tsv").write_text("\tleer\nword 3\tWort 3\n")
    data = ParallelFiles(
        str(tmp_path / "train.tsv"), test=str(tmp_path / "test.tsv"), tokenizer={"kind": "words"}
    )
    model = AttentionTranslator(data.src_vocab_size, data.trg_vocab_size, 8, 16)
    trainer(tmp_path, callbacks=[TranslationReport(maps=0)]).test(model, data, verbose=False)
    lines = (tmp_path / "translations.test.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert '"translation": ""' in lines[0]


def test_forward_accepts_the_usage_lines_of_the_textbook():
    model = Seq2SeqTranslator(100, 80, 8, 16, 2)
    src, trg = torch.randint(4, 100, (3, 7)), torch.randint(4, 80, (3, 5))
    assert model(src, trg).shape == (3, 5, 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 1}, "needs num_layers of at least 2"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"decoder": {"input_feeding": True}}, "needs decoder.attention_position=after"),
        (
            {"decoder": {"attention_position": "none"}, "search": {"coverage_penalty": 0.1}},
            "search.coverage_penalty needs attention",
        ),
        ({"decoder": {"readout_dim": -2}}, "decoder.readout_dim must be at least 1, got -2"),
        ({"encoder": {"num_layers": 0}}, "encoder.num_layers must be at least 1, got 0"),
        ({"encoder": {"hidden_dim": 0}}, "encoder.hidden_dim must be at least 1, got 0"),
        ({"encoder": {"depth": 2}}, "EncoderConfig has no option 'depth'"),
        ({"label_smoothing": 1.5}, "label_smoothing must be at least 0 and below 1"),
        ({"decoder": {"tie_embeddings": "decoder", "readout_dim": 6}}, "set readout_dim"),
        (
            {"decoder": {"bridge": "copy"}, "encoder": {"hidden_dim": 5}},
            "of the same layer and size",
        ),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Translator(VOCAB, VOCAB, 8, 16, **arguments)


def test_a_hidden_size_of_one_is_refused_for_a_bidirectional_encoder():
    with pytest.raises(UserError, match="at least 2 with a bidirectional encoder"):
        Translator(VOCAB, VOCAB, 8, 1)


def test_missing_sizes_are_named():
    with pytest.raises(UserError, match="Translator needs src_vocab_size"):
        Translator(None, VOCAB)


def test_tying_all_embeddings_needs_a_joint_vocabulary(tmp_path):
    tied = DecoderConfig(tie_embeddings="all")
    message = "needs one vocabulary of both languages, but the data has two"
    with pytest.raises(UserError, match=message):
        Translator(VOCAB, VOCAB + 1, 8, 16, decoder=tied)
    with pytest.raises(UserError, match=message):
        trainer(tmp_path).validate(Translator(40, 40, 8, 16, decoder=tied), dates())


def test_validation_without_a_tokenizer_is_refused_with_a_hint(tmp_path):
    model = build("AttentionTranslator")
    loader = torch.utils.data.DataLoader([batch_of()], None)
    with pytest.raises(UserError, match="set `tokenizer` to that of one"):
        trainer(tmp_path).validate(model, loader, verbose=False)


def test_attention_maps_show_whole_words_of_subwords():
    model = AttentionTranslator(30, 30, 8, 16).eval()
    settings = SentenceTokenizerConfig("bpe", max_vocab_size=30)
    texts = ["ein großer hund", "der kleine hund läuft"]
    model.tokenizer = TranslationTokenizer.learn(settings, settings, texts, texts, joint=True)
    rows = model.tokenizer.encode_sources(["ein großer läuft"])
    src, lengths = pad_ids(rows)
    ((source, target, weights),) = model.attention_maps(PairBatch(src, src, lengths, lengths))
    assert source == ["ein", "großer", "läuft", "<eos>"]
    assert target[-1] == "<eos>"
    assert weights.shape == (len(target), 4)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(target)))
