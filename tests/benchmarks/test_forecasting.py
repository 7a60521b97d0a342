"""Training of forecasters."""

from rnn_lab.benchmarks import forecasting


def test_windows_of_the_textbook_are_those_of_the_data_module():
    data = forecasting.open_series("SyntheticSeries")
    windows = forecasting.TextbookWindows(data)
    split = data.split("train")
    assert len(windows) == len(split)
    batch = next(iter(data.train_dataloader()))
    past, future = forecasting._stack(windows, batch)
    assert past.equal(batch.past)
    assert future.equal(batch.future)
