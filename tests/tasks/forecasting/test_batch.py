"""Batches of windows: units and devices."""

import torch
from forecast_batches import batch_of, forecast_of


def test_values_and_quantiles_are_converted_to_units_and_back():
    batch = batch_of(missing=0)
    forecast = forecast_of(batch)
    for values in (forecast.point, forecast.quantiles):
        units = batch.to_units(values)
        torch.testing.assert_close(batch.from_units(units), values, atol=1e-4, rtol=1e-4)
    expected = forecast.point[3, 1, 2] * batch.scale[3, 2] + batch.location[3, 2]
    torch.testing.assert_close(batch.to_units(forecast.point)[3, 1, 2], expected)


def test_all_tensors_but_the_rows_are_moved_to_a_device():
    moved = batch_of().to(torch.device("meta"))
    devices = {name: getattr(moved, name).device.type for name in moved._fields}
    assert devices.pop("rows") == "cpu"
    assert set(devices.values()) == {"meta"}
