"""Language models: state goes on, gradients do not, and every word counts once."""

import math
from functools import partial

import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.nn import functional

from rnn_lab.datamodules import LanguageModelingFiles, SyntheticText
from rnn_lab.errors import UserError
from rnn_lab.models import AWDLSTM, LanguageModel, LSTMLanguageModel
from rnn_lab.nn import LAYERS
from rnn_lab.special_tokens import IGNORED
from rnn_lab.tasks.language_modeling.batch import LMBatch

WORDS = 11
ALL_MODELS = [LSTMLanguageModel, AWDLSTM, LanguageModel]


def trainer(**options):
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False,
        "use_distributed_sampler": False, "log_every_n_steps": 1,
    }  # fmt: skip
    return Trainer(**{**quiet, **options})


def build(cls=LanguageModel, words=WORDS, **options):
    torch.manual_seed(0)
    return cls(words, 6, 8, 2, **options)


def batch(rows=3, time=12, seed=1):
    torch.manual_seed(seed)
    text = torch.randint(WORDS, (rows, time + 1))
    return LMBatch(text[:, :-1], text[:, 1:].clone(), fresh=True)


@pytest.fixture
def text():
    return SyntheticText(60, 12, 12, batch_size=4, bptt=10)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(batch()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("tied", [False, True])
def test_reading_step_by_step_is_reading_at_once_for_any_layer(layer, tied):
    model, tokens = build(layer=layer, tied=tied).eval(), batch().tokens
    with torch.no_grad():
        logits, last = model(tokens)
        state, steps = None, []
        for word in tokens.unbind(1):
            step, state = model.decode_step(word, state)
            steps.append(step)
    torch.testing.assert_close(torch.stack(steps, 1), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_state_carries_over_a_cut_for_any_layer(layer):
    model, tokens = build(layer=layer).eval(), batch().tokens
    with torch.no_grad():
        whole, last = model(tokens)
        first, state = model(tokens[:, :5])
        rest, state = model(tokens[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_the_next_batch_goes_on_unless_it_is_fresh(training):
    model, whole = build().train(training), batch()
    first = whole._replace(tokens=whole.tokens[:, :5], targets=whole.targets[:, :5])
    rest = whole._replace(tokens=whole.tokens[:, 5:], targets=whole.targets[:, 5:], fresh=False)
    parts = [model.step(first), model.step(rest)]
    mean = sum(part.loss * part.num_targets for part in parts) / sum(
        part.num_targets for part in parts
    )
    torch.testing.assert_close(mean, model.step(whole).loss)
    again = model.step(rest._replace(fresh=True)).loss
    assert not torch.allclose(again, parts[1].loss)


def test_no_gradient_goes_back_into_the_last_batch():
    model, whole = build(), batch()
    model.step(whole).loss.backward()
    model.zero_grad()
    model.step(whole._replace(fresh=False)).loss.backward()  # the graph of the first is gone
    assert all(part.grad_fn is None for state in model._carried["train"] for part in state)


def test_validation_leaves_the_state_of_training_alone():
    model, whole = build(), batch()
    model.step(whole)
    kept = [part.clone() for state in model._carried["train"] for part in state]
    model.eval().step(batch(rows=2, seed=4))
    now = [part for state in model._carried["train"] for part in state]
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))


def test_the_loss_is_the_mean_over_words_that_are_targets():
    model, whole = build().eval(), batch()
    whole.targets[1:, -1] = IGNORED
    scores = model.step(whole)
    logits, _ = model(whole.tokens)
    expected = functional.cross_entropy(
        logits.flatten(0, 1), whole.targets.flatten(), ignore_index=IGNORED
    )
    torch.testing.assert_close(scores.loss, expected)
    assert scores.num_targets == 3 * 12 - 2


def test_tied_words_are_read_and_scored_by_the_same_vectors():
    tied, apart = build(), build(tied=False)
    assert tied.head.weight is tied.embedding.weight
    assert tied.layers[-1].output_size == 6
    assert apart.layers[-1].output_size == 8
    shared = {id(p) for p in tied.parameters()}
    assert len(shared) == len(list(tied.parameters())) == len(list(apart.parameters())) - 1


def test_activation_regularization_is_minimized_but_not_in_the_loss():
    whole = batch()
    plain, alpha, beta = (
        build(),
        build(activation_regularization=2.0),
        build(temporal_activation_regularization=3.0),
    )
    with torch.no_grad():
        losses = [model.step(whole).loss for model in (plain, alpha, beta)]
        output, _ = plain._read(whole.tokens, None)
    assert losses[0] == losses[1] == losses[2]
    assert plain._penalty == 0
    torch.testing.assert_close(alpha._penalty, 2 * output.square().mean())
    torch.testing.assert_close(beta._penalty, 3 * output.diff(dim=1).square().mean())


def test_what_is_minimized_has_the_regularization_and_what_is_logged_has_not(text):
    class Minimized(Callback):
        values = ()

        def on_before_backward(self, trainer, task, loss):
            self.values = [*self.values, float(loss.detach())]

    def minimized(**options):
        seen = Minimized()
        model = build(words=text.vocab_size, **options)
        fit = trainer(max_steps=1, limit_val_batches=0, limit_train_batches=1, callbacks=[seen])
        fit.fit(model, text)
        return seen.values[0], float(fit.callback_metrics["train/loss"])

    plain, penalized = minimized(), minimized(activation_regularization=100.0)
    assert plain[0] == pytest.approx(plain[1]) == pytest.approx(penalized[1])
    assert penalized[0] > plain[0] + 0.01


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_dropout_is_in_training_only(cls):
    options = {} if cls is not LanguageModel else {"weight_drop": 0.5, "input_dropout": 0.5}
    model, whole = build(cls, **options), batch()
    with torch.no_grad():
        assert model.step(whole).loss != model.step(whole).loss
        model.eval()
        assert model.step(whole).loss == model.step(whole).loss


def test_dropout_is_locked_where_that_is_asked_for():
    for locked in (True, False):
        model = build(input_dropout=0.5, locked=locked)
        dropped = model.input_dropout(torch.ones(4, 9, 6)) == 0
        assert (dropped == dropped[:, :1]).all() == locked


def test_the_factor_of_awd_scales_all_five_dropouts():
    model = build(AWDLSTM, dropout_factor=0.5)
    rates = [model.embedding_dropout.p, model.input_dropout.p, model.layer_dropout.p]
    assert rates == [0.05, 0.325, 0.1]
    assert model.output_dropout.p == 0.2
    assert [layer.weight_drop for layer in model.layers] == [0.25, 0.25]


def test_memorizes_a_short_text():
    model, whole = build(), batch(rows=2, time=10)
    # At a higher rate the loss leaps now and then, at another step on another processor.
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(600):
        optimizer.zero_grad()
        model.step(whole).loss.backward()
        optimizer.step()
    assert model.eval().step(whole).loss < 0.1


def measured(model, data, **options):
    (found,) = trainer(**options).validate(model, data, verbose=False)
    return found


def test_perplexity_and_bits_are_of_all_words_together(text):
    model = build(words=text.vocab_size).eval()
    found = measured(model, text)
    batches = list(text.val_dataloader())
    scores = [model.step(each) for each in batches]
    words = sum(each.num_targets for each in scores)
    assert words == len(text.split("valid")) - 1
    loss = float(sum(each.loss.detach() * each.num_targets for each in scores)) / words
    assert found["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert found["val/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["val/bits"] == pytest.approx(loss / math.log(2), rel=1e-5)


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_perplexity_depends_on_neither_batch_size_nor_steps(layer):
    def perplexity(batch_size, bptt):
        data = SyntheticText(60, 12, 12, batch_size=batch_size, bptt=bptt)
        model = build(words=data.vocab_size, layer=layer)
        return measured(model, data)["val/perplexity"]

    expected = perplexity(1, 10)
    for batch_size, bptt in ((3, 10), (7, 10), (1, 3), (1, 500)):
        assert perplexity(batch_size, bptt) == pytest.approx(expected, rel=1e-5)


def test_the_whole_text_in_one_row_is_read_as_forward_reads_it(tmp_path):
    (tmp_path / "a.txt").write_text("a b c a b a\nb c\n" * 7)
    data = LanguageModelingFiles(*[f"{tmp_path}/a.txt"] * 3, eval_batch_size=1, bptt=5)
    model = build(words=data.vocab_size).eval()
    ids = torch.tensor(data.split("valid").ids.tolist())
    logits, _ = model(ids[None, :-1])
    expected = functional.cross_entropy(logits[0], ids[1:]).detach()
    assert measured(model, data)["val/loss"] == pytest.approx(float(expected), rel=1e-5)


class Rates(Callback):
    """Notes the learning rate that each step is taken with, and that after it."""

    def __init__(self):
        self.seen, self.shares = [], []

    def on_before_optimizer_step(self, trainer, task, optimizer):
        self.seen.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        self.shares.append(batch.weight)
        assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5


def test_the_learning_rate_follows_the_length_of_a_batch():
    data = SyntheticText(100, 8, 8, batch_size=4, bptt=12, vary=True)
    rates = Rates()
    model = build(words=data.vocab_size, optimizer=partial(torch.optim.SGD, lr=0.5))
    trainer(max_epochs=1, limit_val_batches=0, callbacks=[rates]).fit(model, data)
    assert rates.seen == pytest.approx([0.5 * share for share in rates.shares])
    assert len(set(rates.shares)) > 3


@pytest.mark.parametrize(
    "options", [{}, {"layer": "GRU", "tied": False, "zoneout": 0.0}], ids=["lstm", "gru"]
)
@pytest.mark.parametrize("vary", [False, True])
def test_training_goes_on_in_the_middle_of_an_epoch_as_if_undisturbed(tmp_path, options, vary):
    def data():
        return SyntheticText(60, 12, 12, batch_size=4, bptt=20, vary=vary)

    def fresh():
        seed_everything(3, verbose=False)
        return build(words=data().vocab_size, **options)

    batches = len(data().train_dataloader())
    step = batches + 3  # in the second epoch

    def two_epochs(name):
        keep = ModelCheckpoint(tmp_path / name, "at", every_n_train_steps=step)
        return trainer(
            max_epochs=2, limit_val_batches=2, enable_checkpointing=True, callbacks=[keep]
        )

    whole, resumed = fresh(), fresh()
    two_epochs("whole").fit(whole, data())
    with pytest.warns(UserWarning, match="dirpath has changed"):
        two_epochs("resumed").fit(resumed, data(), ckpt_path=tmp_path / "whole/at.ckpt")
    for name, weights in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights), name
    # It is the state that makes them equal: without it other weights come out.
    content = torch.load(tmp_path / "whole/at.ckpt", weights_only=True)
    assert content.pop("stream_states")
    torch.save(content, tmp_path / "stateless.ckpt")
    other = fresh()
    with pytest.warns(UserWarning, match="dirpath has changed"):
        two_epochs("other").fit(other, data(), ckpt_path=tmp_path / "stateless.ckpt")
    assert not torch.equal(other.head.bias, whole.head.bias)


def test_another_batch_size_in_the_middle_of_an_epoch_is_refused():
    model = build()
    model.step(batch(rows=3))
    with pytest.raises(UserError, match="3 texts were read so far, the batch has 2"):
        model.step(batch(rows=2)._replace(fresh=False))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_saved_checkpoint_gives_the_same_logits(cls, tmp_path):
    model = build(cls).eval()
    fit = trainer()
    fit.strategy.connect(model)
    fit.save_checkpoint(tmp_path / "a.ckpt")
    again = cls.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    tokens = batch().tokens
    torch.testing.assert_close(again(tokens)[0], model(tokens)[0])


def test_bfloat16_is_for_training_alone():
    model, whole = build(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.step(whole).loss
        exact = model.eval().step(whole).loss
    assert rough != exact
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0.02)
    assert exact == model.step(whole).loss


@pytest.mark.slow
def test_two_processes_train_and_measure_as_one(tmp_path):
    """Of a batch with twice the rows, in one process, comes the same model."""
    files = []
    for name, lines in (("train", 40), ("valid", 9)):
        (tmp_path / name).write_text("".join(f"a b{n % 5} c{n % 3} a\n" for n in range(lines)))
        files.append(str(tmp_path / name))

    def run(devices, batch_size):
        seed_everything(3, verbose=False)
        data = LanguageModelingFiles(*files, batch_size=batch_size, bptt=6, eval_batch_size=5)
        model = build(words=data.vocab_size, optimizer=partial(torch.optim.SGD, lr=0.5))
        strategy = "ddp_fork" if devices > 1 else "auto"
        fit = trainer(max_epochs=2, devices=devices, strategy=strategy)
        fit.fit(model, data)
        return {name: float(value) for name, value in fit.callback_metrics.items()}

    one, two = run(1, 4), run(2, 2)
    for name in ("val/perplexity", "val/bits", "val/loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"layer_kwargs": {"zone": 1}}, "LSTM has no option zone"),
        ({"input_dropout": 1.0}, "p must be at least 0 and below 1, got 1.0"),
        ({"weight_drop": 1.5}, "weight_drop must be at least 0 and below 1, got 1.5"),
        ({"label_smoothing": -1}, "label_smoothing must be 0 to below 1, got -1"),
        ({"activation_regularization": -1}, "activation_regularization must be at least 0, got"),
        ({"init_range": -0.1}, "init_range must be at least 0, got -0.1"),
    ],
)
def test_arguments_without_a_meaning_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_a_missing_vocabulary_is_refused():
    with pytest.raises(UserError, match="LanguageModel needs vocab_size"):
        LanguageModel(None)
