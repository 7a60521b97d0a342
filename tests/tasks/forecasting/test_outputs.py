"""Laws of every output: loss, quantiles and equivariance to the scale of the data."""

import numpy as np
import pytest
import torch
from scipy import stats

from rnn_lab.tasks.forecasting.outputs import (
    LEVELS,
    Distribution,
    Gaussian,
    NegativeBinomial,
    Output,
    Point,
    Quantiles,
    StudentT,
    build_output,
    pinball_loss,
)

FEW = (0.1, 0.5, 0.9)


ALL = {
    "mse": lambda: Point(),
    "mae": lambda: Point("mae"),
    "huber": lambda: Point("huber"),
    "quantiles": lambda: Quantiles(FEW),
    "gaussian": lambda: Gaussian(),
    "student_t": lambda: StudentT(),
    "negative_binomial": lambda: NegativeBinomial(),
}


every_output = pytest.mark.parametrize("name", ALL)


every_distribution = pytest.mark.parametrize("name", ["gaussian", "student_t", "negative_binomial"])


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def params_of(name, scale=1.0, location=0.0, rows=6):
    """Return an output, parameters and observed values."""
    output = ALL[name]()
    full = torch.full((rows, 3), 1.0)
    params = output.to_params(2 * randn(rows, 3, output.size), location * full, scale * full)
    target = location + scale * randn(rows, 3, seed=1)
    return output, params, target.abs().round() if name == "negative_binomial" else target


def scipy_distribution(name, params):
    """Return the same distribution in scipy."""
    numbers = [part.double().numpy() for part in params]
    if name == "gaussian":
        return stats.norm(*numbers)
    if name == "student_t":
        mean, width, freedom = numbers
        return stats.t(freedom, mean, width)
    mean, dispersion = numbers
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
@every_distribution
def test_the_loss_of_a_distribution_is_its_negative_log_likelihood_in_scipy(name, scale):
    output, params, target = params_of(name, scale)
    theirs = scipy_distribution(name, params)
    likelihood = theirs.logpmf if name == "negative_binomial" else theirs.logpdf
    expected = torch.from_numpy(-likelihood(target.double().numpy()))
    loss = output.loss(params, target)
    torch.testing.assert_close(loss.double(), expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        ("mse", torch.square),
        ("mae", torch.abs),
        ("huber", lambda x: torch.where(x.abs() < 1, x**2 / 2, x.abs() - 0.5)),
    ],
)
def test_the_loss_of_a_point_is_its_error(loss, error):
    output, params, target = params_of(loss, 3.0)
    torch.testing.assert_close(output.loss(params, target), error(target - params[0]))
    assert output.quantiles(params, FEW) is None


def test_the_pinball_loss_weights_errors_by_the_level():
    quantiles, target = randn(5, 3), randn(5, seed=1)
    result = pinball_loss(quantiles, target, FEW)
    for i, level in enumerate(FEW):
        above = target - quantiles[:, i]
        expected = 2 * torch.where(above > 0, level * above, (level - 1) * above)
        torch.testing.assert_close(result[:, i], expected)
    output = Quantiles(FEW)
    torch.testing.assert_close(output.loss((quantiles,), target), result.mean(1))


def test_the_pinball_loss_over_all_levels_is_the_crps():
    """Compare with the closed form of the normal distribution."""
    levels = tuple((np.arange(4000) + 0.5) / 4000)
    quantiles = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))
    target = torch.tensor([-2.0, 0.0, 0.7], dtype=torch.float64)
    result = pinball_loss(quantiles.expand(3, -1), target, levels).mean(1)
    z = target.numpy()
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    torch.testing.assert_close(result, torch.from_numpy(exact), atol=1e-3, rtol=0)


@every_distribution
def test_quantiles_of_a_distribution_equal_those_of_scipy(name):
    output, params, _ = params_of(name, 2.0)
    levels = (0.001, *LEVELS, 0.999)
    result = output.quantiles(params, levels)
    assert result.shape == (6, 3, len(levels))
    theirs = scipy_distribution(name, params)
    expected = np.stack([theirs.ppf(level) for level in levels], -1)
    torch.testing.assert_close(result.double(), torch.from_numpy(expected), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("level", [1e-4, 0.005, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999])
def test_quantiles_of_the_t_distribution_are_accurate_for_any_degrees_of_freedom(level):
    freedom = torch.from_numpy(np.geomspace(2 + 1e-4, 1e4, 500)).float()
    mean, width = torch.zeros(500), torch.ones(500)
    result = StudentT().quantiles((mean, width, freedom), (level,)).squeeze(1)
    expected = torch.from_numpy(stats.t.ppf(level, freedom.double().numpy())).float()
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=1e-3)


@every_output
def test_to_params_is_equivariant_to_location_and_scale(name):
    """The forecast moves and scales with the window."""
    output, raw, target = ALL[name](), randn(4, 3, ALL[name]().size), randn(4, 3, seed=1)
    zero, one = torch.zeros(4, 3), torch.ones(4, 3)
    scale = randn(4, 3, seed=2).exp()
    location = zero if name == "negative_binomial" else randn(4, 3, seed=3)
    plain, moved = output.to_params(raw, zero, one), output.to_params(raw, location, scale)
    torch.testing.assert_close(output.point(moved), output.point(plain) * scale + location)
    if name in ("quantiles", "gaussian", "student_t"):
        first, second = (output.quantiles(params, FEW) for params in (plain, moved))
        expected = first * scale.unsqueeze(-1) + location.unsqueeze(-1)
        torch.testing.assert_close(second, expected)
    if name in ("gaussian", "student_t"):
        first, second = output.loss(plain, target), output.loss(moved, target * scale + location)
        torch.testing.assert_close(second, first + scale.log(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t", "negative_binomial"])
def test_icdf_at_one_level_per_value_equals_the_quantiles(name):
    output, params, _ = params_of(name, 5.0)
    all_quantiles = output.quantiles(params, FEW)
    index = torch.randint(3, (6, 3), generator=torch.Generator().manual_seed(0))
    result = output.icdf(params, FEW, index)
    torch.testing.assert_close(result, all_quantiles.gather(-1, index.unsqueeze(-1)).squeeze(-1))


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t", "negative_binomial"])
def test_quantiles_increase_with_their_level(name):
    output, params, _ = params_of(name, 5.0)
    levels = FEW if name == "quantiles" else LEVELS
    assert (output.quantiles(params, levels).diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t"])
def test_the_point_forecast_is_the_median(name):
    output, params, _ = params_of(name, 5.0)
    median = output.quantiles(params, (0.5,)).squeeze(-1)
    torch.testing.assert_close(output.point(params), median)


def test_the_point_forecast_of_counts_is_the_mean():
    output, params, _ = params_of("negative_binomial", 5.0)
    mean = torch.from_numpy(scipy_distribution("negative_binomial", params).mean()).float()
    torch.testing.assert_close(output.point(params), mean)


def test_crossing_all_quantilesare_sorted():
    output = Quantiles(FEW)
    crossing = (torch.tensor([[3.0, 1.0, 2.0]]),)
    assert output.quantiles(crossing, FEW).tolist() == [[1, 2, 3]]
    assert output.point(crossing).tolist() == [2]


def test_quantiles_are_interpolated_between_levels_and_nan_beyond_them():
    output = Quantiles(FEW)
    result = output.quantiles((torch.tensor([[0.0, 4.0, 8.0]]),), (0.05, 0.1, 0.2, 0.5, 0.9, 0.95))
    torch.testing.assert_close(
        result, torch.tensor([[torch.nan, 0, 1, 4, 8, torch.nan]]), equal_nan=True
    )


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@every_output
def test_gradients_are_finite_for_extreme_network_outputs(name, sign, size):
    output = ALL[name]()
    raw = torch.full((2, output.size), sign * size, requires_grad=True)
    params = output.to_params(raw, torch.zeros(2), torch.tensor([0.01, 100.0]))
    loss = output.loss(params, torch.tensor([0.0, 7.0]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", ["point", *list(ALL)[3:]])
def test_every_output_is_built_by_its_name(name):
    output = build_output(name)
    assert type(output) is (Point if name == "point" else type(ALL[name]()))
    if name == "quantiles":
        assert output.levels == LEVELS
        assert output.size == len(LEVELS)
    assert output.probabilistic == (name != "point")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: build_output("normal"),
            "output must be one of point, quantiles, .*, got 'normal'",
        ),
        (lambda: build_output("point", "mape"), "loss must be one of mse, mae, huber, got 'mape'"),
        (lambda: Quantiles(()), "levels must be increasing"),
        (lambda: Quantiles((0.1, 0.9)), "levels must be increasing"),
        (lambda: Quantiles((0.5, 0.1)), "levels must be increasing"),
        (lambda: Quantiles((0.5, 0.5)), "levels must be increasing"),
        (lambda: Quantiles((0, 0.5)), "levels must be increasing"),
        (lambda: Quantiles((0.5, 1)), "levels must be increasing"),
    ],
)
def test_invalid_names_and_levels_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@every_distribution
def test_quantiles_of_samples_are_interpolated_unless_they_are_counts(name):
    samples = torch.arange(20.0).view(1, 20, 1).expand(2, 20, 3).flip(1)
    levels = (0.025, 0.1, 0.5, 0.975)
    result = ALL[name]().sample_quantiles(samples, levels)
    method = "inverted_cdf" if name == "negative_binomial" else "linear"
    expected = np.quantile(np.arange(20.0), levels, method=method)
    assert result.shape == (2, 3, 4)
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), rtol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "student_t"])
def test_quantiles_computed_in_inference_mode_leave_later_gradients_intact(name):
    output = ALL[name]()
    with torch.inference_mode():
        output.quantiles(params_of(name)[1], FEW)
    raw = torch.zeros(2, 3, output.size, requires_grad=True)
    params = output.to_params(raw, torch.zeros(2, 3), torch.ones(2, 3))
    output.quantiles(params, FEW).sum().backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("cls", [Output, Distribution])
def test_an_output_must_say_what_it_predicts(cls):
    with pytest.raises(TypeError, match="abstract"):
        cls()
