"""Laws of all language models: state, gradients, losses, metrics and resuming."""

import copy
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
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.options import ActivationRegularization, Dropouts
from rnn_lab.text.tokenizer import TokenizerConfig

VOCAB_SIZE = 11
ALL_MODELS = [LSTMLanguageModel, AWDLSTM, LanguageModel]


def build_trainer(**options):
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False,
        "use_distributed_sampler": False, "log_every_n_steps": 1,
    }  # fmt: skip
    return Trainer(**{**quiet, **options})


def build(cls=LanguageModel, vocab_size=VOCAB_SIZE, **options):
    torch.manual_seed(0)
    return cls(vocab_size, 6, 8, 2, **options)


def make_batch(rows=3, time=12, seed=1):
    torch.manual_seed(seed)
    text = torch.randint(VOCAB_SIZE, (rows, time + 1))
    return LMBatch(text[:, :-1], text[:, 1:].clone(), reset_state=True)


@pytest.fixture
def data():
    return SyntheticText(60, 12, 12, batch_size=4, bptt=10)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(make_batch()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("tie_embeddings", [False, True])
def test_decoding_step_by_step_equals_one_forward_call_for_any_layer(layer, tie_embeddings):
    model = build(layer=layer, tie_embeddings=tie_embeddings).eval()
    tokens = make_batch().tokens
    with torch.no_grad():
        logits, final_state = model(tokens)
        state, steps = None, []
        for token in tokens.unbind(1):
            step_logits, state = model.decode_step(token, state)
            steps.append(step_logits)
    torch.testing.assert_close(torch.stack(steps, 1), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, final_state, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_state_carries_over_a_cut_for_any_layer(layer):
    model, tokens = build(layer=layer).eval(), make_batch().tokens
    with torch.no_grad():
        logits, final_state = model(tokens)
        first, state = model(tokens[:, :5])
        rest, state = model(tokens[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, final_state, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_the_next_batch_continues_the_state_unless_it_is_reset(training):
    model, batch = build().train(training), make_batch()
    first = batch._replace(tokens=batch.tokens[:, :5], targets=batch.targets[:, :5])
    rest = LMBatch(batch.tokens[:, 5:], batch.targets[:, 5:], reset_state=False)
    outputs = [model.step(first), model.step(rest)]
    total = sum(output.loss * output.num_targets for output in outputs)
    mean = total / sum(output.num_targets for output in outputs)
    torch.testing.assert_close(mean, model.step(batch).loss)
    after_reset = model.step(rest._replace(reset_state=True)).loss
    assert not torch.allclose(after_reset, outputs[1].loss)


def test_no_gradient_flows_back_into_the_previous_batch():
    model, batch = build(), make_batch()
    model.step(batch).loss.backward()
    model.zero_grad()
    model.step(batch._replace(reset_state=False)).loss.backward()  # the first graph is freed
    assert all(part.grad_fn is None for state in model._carried["train"] for part in state)


def test_validation_does_not_change_the_state_of_training():
    model = build()
    model.step(make_batch())
    before = [part.clone() for state in model._carried["train"] for part in state]
    model.eval().step(make_batch(rows=2, seed=4))
    after = [part for state in model._carried["train"] for part in state]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_loss_is_the_mean_over_targets_that_are_not_ignored():
    model, batch = build().eval(), make_batch()
    batch.targets[1:, -1] = IGNORE_INDEX
    output = model.step(batch)
    logits, _ = model(batch.tokens)
    expected = functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE_INDEX
    )
    torch.testing.assert_close(output.loss, expected)
    assert output.num_targets == 3 * 12 - 2


def test_tied_embeddings_are_one_parameter():
    tied, untied = build(), build(tie_embeddings=False)
    assert tied.head.weight is tied.embedding.weight
    assert tied.layers[-1].output_size == 6
    assert untied.layers[-1].output_size == 8
    assert len(list(tied.parameters())) == len(list(untied.parameters())) - 1


def test_activation_regularization_is_added_to_the_penalty_and_not_to_the_loss():
    batch = make_batch()
    models = plain, activation, temporal = (
        build(),
        build(regularization=ActivationRegularization(activation=2.0)),
        build(regularization=ActivationRegularization(temporal=3.0)),
    )
    with torch.no_grad():
        losses = [model.step(batch).loss for model in models]
        output, _ = plain._features(batch.tokens, None)
    assert losses[0] == losses[1] == losses[2]
    assert plain._penalty == 0
    torch.testing.assert_close(activation._penalty, 2 * output.square().mean())
    torch.testing.assert_close(temporal._penalty, 3 * output.diff(dim=1).square().mean())


def test_the_minimized_loss_includes_regularization_and_the_logged_one_does_not(data):
    class RecordLoss(Callback):
        values = ()

        def on_before_backward(self, trainer, task, loss):
            self.values = [*self.values, float(loss.detach())]

    def minimized_and_logged(**options):
        record = RecordLoss()
        model = build(vocab_size=data.vocab_size, **options)
        trainer = build_trainer(
            max_steps=1, limit_val_batches=0, limit_train_batches=1, callbacks=[record]
        )
        trainer.fit(model, data)
        return record.values[0], float(trainer.callback_metrics["train/loss"])

    plain = minimized_and_logged()
    penalized = minimized_and_logged(regularization=ActivationRegularization(activation=100.0))
    assert plain[0] == pytest.approx(plain[1]) == pytest.approx(penalized[1])
    assert penalized[0] > plain[0] + 0.01


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_dropout_is_applied_in_training_only(cls):
    own = {"dropouts": Dropouts(input=0.5, weight_drop=0.5)} if cls is LanguageModel else {}
    model, batch = build(cls, **own), make_batch()
    with torch.no_grad():
        assert model.step(batch).loss != model.step(batch).loss
        model.eval()
        assert model.step(batch).loss == model.step(batch).loss


@pytest.mark.parametrize("variational", [True, False])
def test_variational_dropout_uses_one_mask_for_all_steps(variational):
    model = build(dropouts=Dropouts(input=0.5, variational=variational))
    dropped = model.input_dropout(torch.ones(4, 9, 6)) == 0
    assert (dropped == dropped[:, :1]).all() == variational


def test_memorizes_a_short_text():
    model, batch = build(), make_batch(rows=2, time=10)
    # At a higher rate the loss jumps now and then, at another step on another processor.
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(600):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    assert model.eval().step(batch).loss < 0.1


def validate(model, data, **options):
    (metrics,) = build_trainer(**options).validate(model, data, verbose=False)
    return metrics


def test_perplexity_and_bits_per_token_are_computed_over_all_tokens(data):
    model = build(vocab_size=data.vocab_size).eval()
    metrics = validate(model, data)
    outputs = [model.step(batch) for batch in data.val_dataloader()]
    count = int(sum(output.num_targets for output in outputs))
    assert count == len(data.split("valid")) - 1
    loss = float(sum(output.loss.detach() * output.num_targets for output in outputs)) / count
    assert metrics["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["val/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert metrics["val/bits_per_token"] == pytest.approx(loss / math.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "name"), [("characters", "character"), ("words", "token"), ("bpe", "token")]
)
def test_bits_are_named_after_what_the_tokens_are(kind, name, tmp_path):
    (tmp_path / "text.txt").write_text("one two three\n" * 40)
    tokenizer = TokenizerConfig(kind, max_vocab_size=30)
    data = LanguageModelingFiles(str(tmp_path / "text.txt"), bptt=4, tokenizer=tokenizer)
    metrics = validate(build(vocab_size=data.vocab_size), data)
    assert metrics.keys() == {"val/loss", "val/perplexity", f"val/bits_per_{name}"}


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_perplexity_depends_on_neither_batch_size_nor_bptt(layer):
    def perplexity(batch_size, bptt):
        data = SyntheticText(60, 12, 12, batch_size=batch_size, bptt=bptt)
        model = build(vocab_size=data.vocab_size, layer=layer)
        return validate(model, data)["val/perplexity"]

    expected = perplexity(1, 10)
    for batch_size, bptt in ((3, 10), (7, 10), (1, 3), (1, 500)):
        assert perplexity(batch_size, bptt) == pytest.approx(expected, rel=1e-5)


def test_a_text_in_one_row_has_the_loss_of_one_forward_call(tmp_path):
    (tmp_path / "a.txt").write_text("a b c a b a\nb c\n" * 7)
    data = LanguageModelingFiles(*[f"{tmp_path}/a.txt"] * 3, eval_batch_size=1, bptt=5)
    model = build(vocab_size=data.vocab_size).eval()
    ids = torch.tensor(data.split("valid").ids.tolist())
    logits, _ = model(ids[None, :-1])
    expected = functional.cross_entropy(logits[0], ids[1:]).detach()
    assert validate(model, data)["val/loss"] == pytest.approx(float(expected), rel=1e-5)


class RecordRates(Callback):
    """Record the learning rate of each optimizer step, and check the rate after it."""

    def __init__(self):
        self.rates, self.scales = [], []

    def on_before_optimizer_step(self, trainer, task, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        self.scales.append(batch.lr_scale)
        assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5


def test_the_learning_rate_is_scaled_with_the_length_of_a_batch():
    data = SyntheticText(100, 8, 8, batch_size=4, bptt=12, variable_bptt=True)
    record = RecordRates()
    model = build(vocab_size=data.vocab_size, optimizer=partial(torch.optim.SGD, lr=0.5))
    build_trainer(max_epochs=1, limit_val_batches=0, callbacks=[record]).fit(model, data)
    assert record.rates == pytest.approx([0.5 * scale for scale in record.scales])
    assert len(set(record.scales)) > 3


@pytest.mark.parametrize(
    "options", [{}, {"layer": "GRU", "tie_embeddings": False}], ids=["lstm", "gru"]
)
@pytest.mark.parametrize("variable_bptt", [False, True])
def test_a_run_resumed_in_mid_epoch_reaches_the_same_weights(tmp_path, options, variable_bptt):
    def data():
        return SyntheticText(60, 12, 12, batch_size=4, bptt=20, variable_bptt=variable_bptt)

    def untrained():
        seed_everything(3, verbose=False)
        return build(vocab_size=data().vocab_size, **options)

    step = len(data().train_dataloader()) + 3  # in the second epoch

    def two_epochs(name):
        save = ModelCheckpoint(tmp_path / name, "at", every_n_train_steps=step)
        return build_trainer(
            max_epochs=2, limit_val_batches=2, enable_checkpointing=True, callbacks=[save]
        )

    uninterrupted, resumed = untrained(), untrained()
    two_epochs("first").fit(uninterrupted, data())
    with pytest.warns(UserWarning, match="dirpath has changed"):
        two_epochs("second").fit(resumed, data(), ckpt_path=tmp_path / "first/at.ckpt")
    for name, weights in uninterrupted.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights), name
    # The recurrent state is needed for that: without it the weights differ.
    checkpoint = torch.load(tmp_path / "first/at.ckpt", weights_only=True)
    assert checkpoint.pop("recurrent_states")
    torch.save(checkpoint, tmp_path / "stateless.ckpt")
    stateless = untrained()
    with pytest.warns(UserWarning, match="dirpath has changed"):
        two_epochs("third").fit(stateless, data(), ckpt_path=tmp_path / "stateless.ckpt")
    assert not torch.equal(stateless.head.bias, uninterrupted.head.bias)


def test_another_batch_size_in_mid_epoch_is_refused():
    model = build()
    model.step(make_batch(rows=3))
    with pytest.raises(UserError, match="the last batch had 3 rows, this one has 2: resume with"):
        model.step(make_batch(rows=2)._replace(reset_state=False))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_saved_checkpoint_gives_the_same_logits(cls, tmp_path):
    model = build(cls).eval()
    trainer = build_trainer()
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = cls.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    tokens = make_batch().tokens
    torch.testing.assert_close(loaded(tokens)[0], model(tokens)[0])


def test_bfloat16_is_used_in_training_only():
    model, batch = build(), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.step(batch).loss
        exact = model.eval().step(batch).loss
    assert rounded != exact
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)
    assert exact == model.step(batch).loss


@pytest.mark.slow
def test_two_processes_train_and_validate_like_one_with_twice_the_batch_size(tmp_path):
    files = []
    for name, lines in (("train", 40), ("valid", 9)):
        (tmp_path / name).write_text("".join(f"a b{n % 5} c{n % 3} a\n" for n in range(lines)))
        files.append(str(tmp_path / name))

    def run(devices, batch_size):
        seed_everything(3, verbose=False)
        data = LanguageModelingFiles(*files, batch_size=batch_size, bptt=6, eval_batch_size=5)
        model = build(vocab_size=data.vocab_size, optimizer=partial(torch.optim.SGD, lr=0.5))
        strategy = "ddp_fork" if devices > 1 else "auto"
        trainer = build_trainer(max_epochs=2, devices=devices, strategy=strategy)
        trainer.fit(model, data)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    one, two = run(1, 4), run(2, 2)
    for name in ("val/perplexity", "val/bits_per_token", "val/loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)


def test_a_regularized_model_can_be_copied_after_training(data):
    model = build(vocab_size=data.vocab_size, regularization=ActivationRegularization(1.0, 1.0))
    build_trainer(max_steps=1).fit(model, data)
    copied = copy.deepcopy(model)
    assert all(map(torch.equal, copied.parameters(), model.parameters()))
