"""Groups of options survive a checkpoint, and wrong ones are refused in one line."""

import inspect
from dataclasses import MISSING, asdict, dataclass, fields
from typing import get_type_hints

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab import datamodules, models
from rnn_lab.core.options import as_options, fits, option_group, plain_options
from rnn_lab.core.task import StepOutput, Task
from rnn_lab.core.trusted_imports import check_class_paths
from rnn_lab.errors import UserError


@dataclass(frozen=True)
class Inner:
    name: str = "a.column"


@dataclass(frozen=True)
class Group:
    """A group with fields of several kinds."""

    size: int = 1
    label: str = "x"
    inner: Inner = Inner()


class GroupedTask(Task):
    batch_type = tuple

    def __init__(self, group: Group | None = None) -> None:
        super().__init__()
        self.group = as_options(Group, group)
        self.layer = nn.Linear(1, 1)

    def step(self, batch: Tensor) -> StepOutput:
        return StepOutput(self.layer(batch).square().mean(), (), (), len(batch))

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        return {}


@pytest.mark.parametrize("value", [None, Group(), {}, {"size": 1}])
def test_an_instance_a_mapping_and_none_give_the_same_group(value):
    assert as_options(Group, value) == Group()


def test_a_mapping_sets_the_fields_it_names():
    assert as_options(Group, {"size": 3}) == Group(size=3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sise": 3}, "Group has no option 'sise'; its options are size, label, inner"),
        (3, "got int"),
    ],
)
def test_other_values_and_unknown_fields_are_refused(value, message):
    with pytest.raises(UserError, match=message):
        as_options(Group, value)


@pytest.mark.parametrize("options", [{"size": "3"}, {"size": True}, {"size": None}, {"label": 3}])
def test_a_value_of_another_type_is_refused_by_the_name_of_its_field(options):
    (name,) = options
    for value in (options, Group(**options)):
        with pytest.raises(TypeError, match=f"^Group.{name} must be "):
            as_options(Group, value)


GROUPS = {
    f"{group.__module__}.{group.__name__}": group
    for module in (models, datamodules)
    for cls in (getattr(module, name) for name in module.__all__)
    for group in (option_group(cls, name) for name in inspect.signature(cls).parameters)
    if group is not None
}


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_the_defaults_of_every_group_have_the_types_of_its_fields(name):
    group = GROUPS[name]
    required = [
        each.name
        for each in fields(group)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    if not required:
        assert as_options(group, group()) == group()


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_field_of_every_group_names_itself_if_its_value_has_another_type(name):
    for field, hint in get_type_hints(GROUPS[name]).items():
        if not fits(b"", hint):
            with pytest.raises(TypeError, match=f"{field} must be "):
                as_options(GROUPS[name], {field: b""})


def test_plain_options_convert_groups_at_any_depth():
    plain = plain_options({"a": [Group(2)], "b": (1, "c")})
    assert plain == {"a": [asdict(Group(2))], "b": (1, "c")}


def test_a_task_stores_a_group_as_plain_values(tmp_path):
    trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    trainer.strategy.connect(GroupedTask(Group(size=4)))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert stored["rnn_lab"]["model"]["init_args"] == {"group": asdict(Group(size=4))}
    again = GroupedTask.load_from_checkpoint(tmp_path / "a.ckpt")
    assert again.group.size == 4


def test_a_dotted_string_in_a_group_is_no_class_path():
    spec = GroupedTask(Group(label="os.system")).build_spec()
    check_class_paths(spec, "a.ckpt")
