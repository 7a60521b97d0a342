import logging
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
import torch

from rnn_lab.datamodules import JapaneseVowels, LabeledSeriesFiles
from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.series import SeriesScaler

Draw = tuple[str, np.ndarray]


def drawn(count: int, seed: int = 0, dimensions: int = 3) -> list[Draw]:
    """Series of unlike lengths and units, labeled in turn."""
    rng = np.random.default_rng(seed)
    units = np.array([1.0, 100.0, 1e-3, 1.0, 1.0])[:dimensions]
    return [
        ("abc"[i % 3], 5 * units + units * rng.normal(size=(int(rng.integers(2, 9)), dimensions)))
        for i in range(count)
    ]


def write(path: Path, cases: list[Draw], labels: str = "a b c") -> str:
    lines = [
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in one) for one in values.T)
        + f":{label}"
        for label, values in cases
    ]
    path.write_text(f"@classLabel true {labels}\n@data\n" + "\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "train": write(tmp_path / "train.ts", drawn(30)),
        "test": write(tmp_path / "test.ts", drawn(9, seed=1)),
    }


def rows(data: LabeledSeriesFiles, split: str) -> list[list[list[float]]]:
    opened = data.split(split)
    batch = opened[np.arange(len(opened))]
    return [v[:n].tolist() for v, n in zip(batch.values, batch.lengths, strict=True)]


def test_splits_are_drawn_within_labels_and_share_no_series(files: dict[str, str]) -> None:
    data = LabeledSeriesFiles(**files)
    assert data.label_names == ["a", "b", "c"]
    assert data.class_counts == [8, 8, 8]
    assert data.split("valid").class_counts(3) == [2, 2, 2]
    assert len(data.split("test")) == 9
    assert data.input_dim == 3
    everything = rows(data, "train") + rows(data, "valid")
    assert len({repr(one) for one in everything}) == 30


def test_the_part_to_validate_on_depends_on_the_split_seed_alone(files: dict[str, str]) -> None:
    assert rows(LabeledSeriesFiles(**files), "valid") == rows(
        LabeledSeriesFiles(**files, batch_size=3), "valid"
    )
    assert rows(LabeledSeriesFiles(**files), "valid") != rows(
        LabeledSeriesFiles(**files, split_seed=1), "valid"
    )


def test_equal_series_go_to_the_same_side(tmp_path: Path) -> None:
    data = LabeledSeriesFiles(write(tmp_path / "a.ts", drawn(30) * 2), valid_fraction=0.3)
    train, valid = ({repr(one) for one in rows(data, name)} for name in ("train", "valid"))
    assert not train & valid


def test_values_are_scaled_by_training_series_alone(tmp_path: Path) -> None:
    cases = drawn(30)
    train = write(tmp_path / "train.ts", cases)
    data = LabeledSeriesFiles(train, valid_fraction=0)
    np.testing.assert_allclose(data.split("train").values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(data.split("train").values.std(0), 1, rtol=1e-4)
    stacked = np.concatenate([values for _, values in cases])
    np.testing.assert_allclose(data.scaler.mean, stacked.mean(0))
    np.testing.assert_allclose(data.scaler.deviation, stacked.std(0))
    far = [(label, values + 1000) for label, values in drawn(9, seed=1)]
    other = LabeledSeriesFiles(
        train, *(write(tmp_path / f"{name}.ts", far) for name in ("valid", "test"))
    )
    assert len(other.split("valid")) == len(other.split("test")) == 9
    assert other.scaler.state_dict() == data.scaler.state_dict()


def test_series_that_are_validated_on_do_not_touch_the_scaling(tmp_path: Path) -> None:
    cases = drawn(30)
    data = LabeledSeriesFiles(write(tmp_path / "a.ts", cases))
    held = {repr(one) for one in rows(data, "valid")}
    moved = [
        (label, values + 7 if repr(data.scaler.apply(values).tolist()) in held else values)
        for label, values in cases
    ]
    kept = [values for (_, values), (_, after) in zip(cases, moved, strict=True) if after is values]
    assert len(kept) == 24
    scaler, _ = SeriesScaler.fit(kept)
    np.testing.assert_allclose(data.scaler.mean, scaler.mean)


def test_missing_values_are_read_as_the_mean_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = drawn(30)
    cases[0][1][1, 2] = cases[3][1][0, :] = np.nan
    with caplog.at_level(logging.INFO):
        data = LabeledSeriesFiles(write(tmp_path / "a.ts", cases), valid_fraction=0)
        split = data.split("train")
    assert (split.values == 0).sum() == 4
    assert (
        "LabeledSeriesFiles: 4 missing values of the train split are read as the mean"
        in caplog.messages
    )
    stacked = np.concatenate([values for _, values in cases])
    np.testing.assert_allclose(data.scaler.mean, np.nanmean(stacked, 0))


def test_a_constant_dimension_is_centered_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = drawn(30)
    for _, values in cases:
        values[:, 1] = 0.1
    with caplog.at_level(logging.INFO):
        values = LabeledSeriesFiles(write(tmp_path / "a.ts", cases)).split("train").values
    assert np.abs(values[:, 1]).max() < 1e-6
    assert (
        "LabeledSeriesFiles: dimension 2 is constant in training: centered, not scaled"
        in caplog.messages
    )


def test_a_dimension_without_a_value_is_refused(tmp_path: Path) -> None:
    cases = drawn(30)
    for _, values in cases:
        values[:, 1] = np.nan
    with pytest.raises(UserError, match="dimension 2 has no value in training"):
        LabeledSeriesFiles(write(tmp_path / "a.ts", cases)).split("train")


def test_batches_are_padded_with_zeros(files: dict[str, str]) -> None:
    batch = next(iter(LabeledSeriesFiles(**files).val_dataloader()))
    padding = torch.arange(batch.values.shape[1]) >= batch.lengths.unsqueeze(1)
    assert batch.values.dtype == torch.float32
    assert (batch.values[padding] == 0).all()


def test_the_recipe_holds_plain_values_and_no_path(files: dict[str, str]) -> None:
    recipe = LabeledSeriesFiles(**files).build_spec()
    assert recipe["scaler"].keys() == {"mean", "deviation"}
    assert all(isinstance(value, float) for value in recipe["scaler"]["mean"])
    assert recipe["labels"] == ["a", "b", "c"]
    assert recipe["class_counts"] == [8, 8, 8]
    assert not any(path in repr(recipe) for path in files.values())


def checkpoint(path: Path, data: dict[str, Any]) -> str:
    return handmade.write(path, {"class_path": "rnn_lab.GRUClassifier", "init_args": {}}, data)


def test_labels_and_scaling_come_from_a_checkpoint(tmp_path: Path, files: dict[str, str]) -> None:
    before = LabeledSeriesFiles(**files)
    path = checkpoint(tmp_path / "a.ckpt", before.build_spec())
    later = LabeledSeriesFiles(test=files["test"], vocab_from_checkpoint=path)
    assert rows(later, "test") == rows(before, "test")
    assert (later.label_names, later.class_counts) == (before.label_names, before.class_counts)
    with pytest.raises(
        UserError, match=r"LabeledSeriesFiles has no train split: give --data\.train=FILE"
    ):
        later.split("train")


def test_a_checkpoint_of_texts_is_refused(tmp_path: Path) -> None:
    path = checkpoint(
        tmp_path / "a.ckpt",
        {"class_path": "rnn_lab.tasks.text_classification.data.TextFiles", "init_args": {}},
    )
    with pytest.raises(UserError, match=r"labels no series: it was trained on .*TextFiles"):
        LabeledSeriesFiles(vocab_from_checkpoint=path)


def test_a_split_that_is_not_there_is_named_with_what_gives_it(files: dict[str, str]) -> None:
    with pytest.raises(
        UserError, match=r"LabeledSeriesFiles has no test split: give --data\.test=FILE"
    ):
        LabeledSeriesFiles(files["train"]).split("test")
    with pytest.raises(
        UserError,
        match=r"no valid split: give --data\.valid=FILE; or .* --trainer\.limit_val_batches=0",
    ):
        LabeledSeriesFiles(files["train"], valid_fraction=0).split("valid")
    with pytest.raises(UserError, match=r"needs a file to train on: give --data\.train=FILE"):
        LabeledSeriesFiles()


def test_files_that_do_not_go_together_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    wide = write(tmp_path / "wide.ts", drawn(6, dimensions=4))
    with pytest.raises(UserError, match=r"wide\.ts has 4 dimensions, wanted 3 as in training"):
        LabeledSeriesFiles(files["train"], test=wide).split("test")
    other = write(tmp_path / "other.ts", [("d", drawn(1)[0][1])], labels="c d")
    with pytest.raises(UserError, match=r"other\.ts has the label 'd'; known are a, b, c"):
        LabeledSeriesFiles(files["train"], test=other).split("test")


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_fraction_without_meaning_is_refused(files: dict[str, str], fraction: float) -> None:
    with pytest.raises(UserError, match="valid_fraction must be from 0 to below 1, got"):
        LabeledSeriesFiles(files["train"], valid_fraction=fraction)


def test_files_without_enough_cases_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.ts", [])
    with pytest.raises(UserError, match=r"empty\.ts holds no case after @data"):
        LabeledSeriesFiles(empty).split("train")
    few = write(tmp_path / "few.ts", drawn(3))
    with pytest.raises(UserError, match=r"valid_fraction of 0\.2 takes none of the 3 series"):
        LabeledSeriesFiles(few).split("train")


@pytest.mark.data
def test_japanese_vowels_are_the_published_ones(data_root: Path) -> None:
    data = JapaneseVowels(root=str(data_root), valid_fraction=0)
    train, test = data.split("train"), data.split("test")
    assert data.class_counts == [30] * 9
    assert test.class_counts(9) == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert (train.lengths.min(), train.lengths.max()) == (7, 26)
    assert (test.lengths.min(), test.lengths.max()) == (7, 29)
    assert (data.input_dim, data.label_names) == (12, [str(speaker) for speaker in range(1, 10)])


@pytest.mark.data
def test_a_vowel_that_was_changed_is_refused(data_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "japanese_vowels"
    folder.mkdir()
    for file in (data_root / "japanese_vowels").iterdir():
        (folder / file.name).write_bytes(file.read_bytes().replace(b"1.860936", b"1.860937"))
    with pytest.raises(UserError, match=r"TRAIN\.ts has sha256 .*: remove or replace it"):
        JapaneseVowels(root=str(tmp_path)).split("train")
