import logging

import pytest
from tiny import TinyData, TinyTask

from rnn_lab.datamodules import SyntheticChirps
from rnn_lab.models import GRUClassifier
from rnn_lab.training import SmallDataWarning

FEW_STEPS = "an epoch has only {}: consider more epochs (--trainer.max_epochs) or a smaller "


def warnings_of(caplog, make_trainer, model, data, **options):
    caplog.set_level(logging.WARNING, "rnn_lab")
    callbacks = [SmallDataWarning()]
    make_trainer(max_epochs=1, callbacks=callbacks, enable_checkpointing=False, **options).fit(
        model, data
    )
    return caplog.messages


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, "2 optimizer steps"), ({"accumulate_grad_batches": 2}, "1 optimizer step")],
    ids=["batches", "accumulated"],
)
def test_few_steps_per_epoch_are_reported(make_trainer, caplog, options, steps):
    (message,) = warnings_of(caplog, make_trainer, TinyTask(), TinyData(), **options)
    assert message == FEW_STEPS.format(steps) + "--data.batch_size"


@pytest.mark.parametrize("rows", [29, 30])
def test_few_validation_rows_are_reported(make_trainer, caplog, rows):
    data = SyntheticChirps(train_size=20, valid_size=rows, test_size=1, batch_size=2)
    messages = warnings_of(caplog, make_trainer, GRUClassifier(2, 2, 4, 1), data)
    expected = ["the validation split has only 29 rows"] if rows == 29 else []
    assert [message.partition(":")[0] for message in messages] == expected


def test_a_dry_run_has_no_such_warning(make_trainer, caplog):
    assert warnings_of(caplog, make_trainer, TinyTask(), TinyData(), fast_dev_run=True) == []
