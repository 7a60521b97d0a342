"""The mean of the weights of checkpoints."""

import pytest
import torch
from handmade import MODEL, content

from rnn_lab.__main__ import main
from rnn_lab.commands.average import average
from rnn_lab.errors import UserError


def saved(path, *, model=MODEL, **weights):
    torch.save({**content(model, **weights), "optimizer_states": [1], "epoch": 3}, path)
    return str(path)


def result(paths, output):
    average(paths, str(output))
    return torch.load(output, weights_only=True)


def test_weights_are_averaged_and_everything_else_is_from_the_first(tmp_path):
    paths = [
        saved(tmp_path / f"{i}.ckpt", a=torch.tensor([float(i), 2.0 * i]), n=torch.tensor(i))
        for i in (1, 2, 6)
    ]
    mean = result(paths, tmp_path / "new" / "mean.ckpt")
    assert mean["state_dict"]["a"].tolist() == [3, 6]
    assert mean["state_dict"]["n"].item() == 1
    assert mean["epoch"] == 3
    assert "optimizer_states" not in mean


def test_the_mean_of_equal_weights_is_exact(tmp_path):
    weights = torch.randn(100, generator=torch.Generator().manual_seed(0))
    paths = [saved(tmp_path / f"{i}.ckpt", a=weights) for i in range(3)]
    assert torch.equal(result(paths, tmp_path / "mean.ckpt")["state_dict"]["a"], weights)


def test_the_data_type_is_kept(tmp_path):
    paths = [saved(tmp_path / f"{i}.ckpt", a=torch.ones(2).half()) for i in range(2)]
    assert result(paths, tmp_path / "mean.ckpt")["state_dict"]["a"].dtype == torch.float16


def test_checkpoints_must_match(tmp_path):
    first = saved(tmp_path / "1.ckpt", a=torch.ones(2))
    other = {**MODEL, "init_args": {"hidden_dim": 3}}
    for second, message in (
        (saved(tmp_path / "2.ckpt", a=torch.ones(3)), "shape mismatch between the weights of"),
        (saved(tmp_path / "3.ckpt", b=torch.ones(2)), "shape mismatch between the weights of"),
        (saved(tmp_path / "4.ckpt", model=other, a=torch.ones(2)), "have different model settings"),
    ):
        with pytest.raises(UserError, match=message):
            average([first, second], str(tmp_path / "mean.ckpt"))
    assert not (tmp_path / "mean.ckpt").exists()


def test_two_checkpoints_and_a_new_output_are_required(tmp_path, capsys):
    path = saved(tmp_path / "1.ckpt", a=torch.ones(2))
    assert main(["average", path, "--output", str(tmp_path / "mean.ckpt")]) == 1
    assert "average requires at least two checkpoints" in capsys.readouterr().err
    assert main(["average", path, path, "--output", path]) == 1
    assert "1.ckpt exists: give another --output" in capsys.readouterr().err


def test_missing_checkpoints_are_named_as_they_are_given(capsys):
    with pytest.raises(SystemExit):
        main(["average", "--output=a.ckpt"])
    assert capsys.readouterr().err == "rnn-lab: give CHECKPOINTS\n"


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    paths = [saved(tmp_path / f"{i}.ckpt", a=torch.ones(2)) for i in range(2)]
    before = sorted(tmp_path.iterdir())

    def fail(_, file):
        file.write_bytes(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match=r"mean\.ckpt cannot be written: .*No space left"):
        average(paths, str(tmp_path / "mean.ckpt"))
    assert sorted(tmp_path.iterdir()) == before
