import logging
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
import torch

from rnn_lab.datamodules import LabeledSeriesFiles, SyntheticChirps
from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch

Labeled = tuple[str, np.ndarray]


def generate(count: int, seed: int = 0, dimensions: int = 3) -> list[Labeled]:
    """Sequences of different lengths and scales, with labels in turn."""
    rng = np.random.default_rng(seed)
    scales = np.array([1.0, 100.0, 1e-3, 1.0, 1.0])[:dimensions]
    return [
        ("abc"[i % 3], 5 * scales + scales * rng.normal(size=(int(rng.integers(2, 9)), dimensions)))
        for i in range(count)
    ]


def write(path: Path, data_rows: list[Labeled], labels: str = "a b c") -> str:
    lines = [
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in one) for one in values.T)
        + f":{label}"
        for label, values in data_rows
    ]
    path.write_text(f"@classLabel true {labels}\n@data\n" + "\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "train": write(tmp_path / "train.ts", generate(30)),
        "test": write(tmp_path / "test.ts", generate(9, seed=1)),
    }


def rows(data: LabeledSeriesFiles, split: str) -> list[list[list[float]]]:
    dataset = data.split(split)
    batch = dataset[np.arange(len(dataset))]
    return [v[:n].tolist() for v, n in zip(batch.values, batch.lengths, strict=True)]


def test_drawn_splits_are_stratified_and_disjoint(files: dict[str, str]) -> None:
    data = LabeledSeriesFiles(**files)
    assert data.label_names == ["a", "b", "c"]
    assert data.class_counts == [8, 8, 8]
    assert data.split("valid").class_counts(3) == [2, 2, 2]
    assert len(data.split("test")) == 9
    assert data.input_dim == 3
    sequences = rows(data, "train") + rows(data, "valid")
    assert len(set(map(repr, sequences))) == 30


def test_the_validation_split_depends_on_the_split_seed_alone(files: dict[str, str]) -> None:
    assert rows(LabeledSeriesFiles(**files), "valid") == rows(
        LabeledSeriesFiles(**files, batch_size=3), "valid"
    )
    assert rows(LabeledSeriesFiles(**files), "valid") != rows(
        LabeledSeriesFiles(**files, split_seed=1), "valid"
    )


def test_duplicates_are_in_the_same_split(tmp_path: Path) -> None:
    data = LabeledSeriesFiles(write(tmp_path / "a.ts", generate(30) * 2), valid_fraction=0.3)
    train, valid = (set(map(repr, rows(data, name))) for name in ("train", "valid"))
    assert not train & valid


def test_values_are_standardized_with_the_training_split(tmp_path: Path) -> None:
    data_rows = generate(30)
    train = write(tmp_path / "train.ts", data_rows)
    data = LabeledSeriesFiles(train, valid_fraction=0)
    np.testing.assert_allclose(data.split("train").values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(data.split("train").values.std(0), 1, rtol=1e-4)
    stacked = np.concatenate([values for _, values in data_rows])
    np.testing.assert_allclose(data.scaler.mean, stacked.mean(0))
    np.testing.assert_allclose(data.scaler.std, stacked.std(0))
    shifted = [(label, values + 1000) for label, values in generate(9, seed=1)]
    other = LabeledSeriesFiles(
        train, *(write(tmp_path / f"{name}.ts", shifted) for name in ("valid", "test"))
    )
    assert len(other.split("valid")) == len(other.split("test")) == 9
    assert other.scaler.state_dict() == data.scaler.state_dict()


def test_the_scaler_ignores_the_validation_split(tmp_path: Path) -> None:
    data = LabeledSeriesFiles(write(tmp_path / "a.ts", generate(30)))
    values = data.split("train").values
    assert len(data.split("train")) == 24
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(0), 1, rtol=1e-4)


def test_missing_values_are_replaced_by_the_mean_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_rows = generate(30)
    data_rows[0][1][1, 2] = data_rows[3][1][0, :] = np.nan
    with caplog.at_level(logging.INFO):
        data = LabeledSeriesFiles(write(tmp_path / "a.ts", data_rows), valid_fraction=0)
        split = data.split("train")
    assert (split.values == 0).sum() == 4
    assert "LabeledSeriesFiles: the train split has 30 sequences: " in caplog.text
    assert "LabeledSeriesFiles: steps per sequence: median " in caplog.text
    assert (
        "LabeledSeriesFiles: 4 missing values of the train split are read as the mean"
        in caplog.messages
    )
    stacked = np.concatenate([values for _, values in data_rows])
    np.testing.assert_allclose(data.scaler.mean, np.nanmean(stacked, 0))


def test_a_constant_dimension_is_centered_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_rows = generate(30)
    for _, values in data_rows:
        values[:, 1] = 0.1
    with caplog.at_level(logging.INFO):
        values = LabeledSeriesFiles(write(tmp_path / "a.ts", data_rows)).split("train").values
    assert np.abs(values[:, 1]).max() < 1e-6
    assert (
        "LabeledSeriesFiles: dimension 2 is constant in the training split: centered, not scaled"
        in caplog.messages
    )


def test_a_dimension_without_a_value_is_refused(tmp_path: Path) -> None:
    data_rows = generate(30)
    for _, values in data_rows:
        values[:, 1] = np.nan
    with pytest.raises(UserError, match="dimension 2 has no value in the training split"):
        LabeledSeriesFiles(write(tmp_path / "a.ts", data_rows)).split("train")


def test_batches_are_padded_with_zeros(files: dict[str, str]) -> None:
    batch = next(iter(LabeledSeriesFiles(**files).val_dataloader()))
    padding = torch.arange(batch.values.shape[1]) >= batch.lengths.unsqueeze(1)
    assert batch.values.dtype == torch.float32
    assert (batch.values[padding] == 0).all()


def test_the_build_spec_has_plain_values_and_no_path(files: dict[str, str]) -> None:
    spec = LabeledSeriesFiles(**files).build_spec()
    assert spec["scaler"].keys() == {"mean", "std"}
    assert all(isinstance(value, float) for value in spec["scaler"]["mean"])
    assert spec["labels"] == ["a", "b", "c"]
    assert spec["class_counts"] == [8, 8, 8]
    assert not any(path in repr(spec) for path in files.values())


def checkpoint(path: Path, data: dict[str, Any]) -> str:
    return handmade.write(path, {"class_path": "rnn_lab.GRUClassifier", "init_args": {}}, data)


def test_labels_and_scaling_come_from_a_checkpoint(tmp_path: Path, files: dict[str, str]) -> None:
    trained = LabeledSeriesFiles(**files)
    path = checkpoint(tmp_path / "a.ckpt", trained.build_spec())
    restored = LabeledSeriesFiles(test=files["test"], vocab_from_checkpoint=path)
    assert rows(restored, "test") == rows(trained, "test")
    assert restored.label_names == trained.label_names
    assert restored.class_counts == trained.class_counts
    with pytest.raises(
        UserError, match=r"LabeledSeriesFiles has no train split: set --data\.train=FILE"
    ):
        restored.split("train")


def test_a_checkpoint_of_texts_is_refused(tmp_path: Path) -> None:
    path = checkpoint(
        tmp_path / "a.ckpt",
        {"class_path": "rnn_lab.tasks.text_classification.data.TextFiles", "init_args": {}},
    )
    with pytest.raises(UserError, match=r"is not a sequence .*: trained on .*TextFiles"):
        LabeledSeriesFiles(vocab_from_checkpoint=path)


def test_a_missing_split_is_reported_with_its_option(files: dict[str, str]) -> None:
    with pytest.raises(
        UserError, match=r"LabeledSeriesFiles has no test split: set --data\.test=FILE"
    ):
        LabeledSeriesFiles(files["train"]).split("test")
    with pytest.raises(
        UserError,
        match=r"no valid split: set --data\.valid=FILE; or .* --trainer\.limit_val_batches=0",
    ):
        LabeledSeriesFiles(files["train"], valid_fraction=0).split("valid")
    with pytest.raises(UserError, match=r"needs a training file: set --data\.train=FILE"):
        LabeledSeriesFiles()


def test_files_with_other_dimensions_or_labels_are_refused(
    tmp_path: Path, files: dict[str, str]
) -> None:
    wide = write(tmp_path / "wide.ts", generate(6, dimensions=4))
    with pytest.raises(UserError, match=r"wide\.ts has 4 dimensions, expected 3 as in training"):
        LabeledSeriesFiles(files["train"], test=wide).split("test")
    other = write(tmp_path / "other.ts", [("d", generate(1)[0][1])], labels="c d")
    with pytest.raises(UserError, match=r"other\.ts has the label 'd'; known are a, b, c"):
        LabeledSeriesFiles(files["train"], test=other).split("test")


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_an_invalid_fraction_is_refused(files: dict[str, str], fraction: float) -> None:
    with pytest.raises(UserError, match="valid_fraction must be from 0 to below 1, got"):
        LabeledSeriesFiles(files["train"], valid_fraction=fraction)


def test_a_fraction_and_a_validation_file_exclude_each_other(files: dict[str, str]) -> None:
    with pytest.raises(UserError, match="valid_fraction has no effect if valid is set"):
        LabeledSeriesFiles(files["train"], valid=files["test"], valid_fraction=0.1)
    LabeledSeriesFiles(files["train"], valid=files["test"], valid_fraction=0)  # draws nothing


def test_files_with_too_few_sequences_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.ts", [])
    with pytest.raises(UserError, match=r"empty\.ts has no sequence after @data"):
        LabeledSeriesFiles(empty).split("train")
    few = write(tmp_path / "few.ts", generate(3))
    with pytest.raises(UserError, match=r"valid_fraction=0\.2 selects none of the 3 sequences"):
        LabeledSeriesFiles(few).split("train")


def test_generated_splits_have_the_requested_sizes() -> None:
    data = SyntheticChirps(train_size=40, valid_size=8, test_size=9, input_dim=3, batch_size=16)
    assert {name: len(data.split(name)) for name in data.sizes} == data.sizes
    batch = next(iter(data.val_dataloader()))
    assert isinstance(batch, SequenceBatch)
    assert batch.values.shape == (8, int(batch.lengths.max()), 3)
    assert batch.values.dtype == torch.float32
    assert data.num_classes == 4
    assert data.build_spec()["input_dim"] == 3


def test_generated_sequences_depend_on_seed_and_split_alone() -> None:
    def values(seed: int, name: str) -> list[float]:
        return SyntheticChirps(8, 8, 8, data_seed=seed).split(name).values.ravel().tolist()

    assert values(0, "train") == values(0, "train")
    assert values(0, "train") != values(0, "valid")
    assert values(0, "train") != values(1, "train")


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="valid_size must be at least 1, got 0"):
        SyntheticChirps(valid_size=0)
    with pytest.raises(UserError, match="input_dim must be at least 1, got 0"):
        SyntheticChirps(input_dim=0)


def test_a_drawn_sequence_is_named_by_its_number_in_the_file(files: dict[str, str]) -> None:
    data = LabeledSeriesFiles(**files)
    described = [data.describe_row("valid", row) for row in range(len(data.split("valid")))]
    lengths = [len(values) for _, values in generate(30)]
    assert [each["steps"] for each in described] == [lengths[each["row"] - 1] for each in described]
    everything = [*described, *(data.describe_row("train", row) for row in range(24))]
    assert sorted(each["row"] for each in everything) == list(range(1, 31))
