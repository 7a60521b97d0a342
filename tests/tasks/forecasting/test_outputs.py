"""What every output promises: its loss, its quantiles, its place in the scale of the data."""

import numpy as np
import pytest
import torch
from scipy import stats

from rnn_lab.tasks.forecasting.outputs import (
    LEVELS,
    Gaussian,
    NegativeBinomial,
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


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def placed(name, scale=1.0, location=0.0, rows=6):
    """Parameters of some values, and what came."""
    made = ALL[name]()
    full = torch.full((rows, 3), 1.0)
    parameters = made.to_params(2 * drawn(rows, 3, made.size), location * full, scale * full)
    came = location + scale * drawn(rows, 3, seed=1)
    return made, parameters, came.abs().round() if name == "negative_binomial" else came


def scipys(name, parameters):
    """The same distribution as scipy has it."""
    numbers = [part.double().numpy() for part in parameters]
    if name == "gaussian":
        return stats.norm(*numbers)
    if name == "student_t":
        mean, width, freedom = numbers
        return stats.t(freedom, mean, width)
    mean, dispersion = numbers
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
@every_distribution
def test_the_loss_of_a_distribution_is_what_scipy_says(name, scale):
    made, parameters, came = placed(name, scale)
    theirs = scipys(name, parameters)
    likelihood = theirs.logpmf if name == "negative_binomial" else theirs.logpdf
    expected = torch.from_numpy(-likelihood(came.double().numpy()))
    loss = made.loss(parameters, came)
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
    made, parameters, came = placed(loss, 3.0)
    torch.testing.assert_close(made.loss(parameters, came), error(came - parameters[0]))
    assert made.quantiles(parameters, FEW) is None


def test_the_pinball_loss_weighs_what_lies_above_by_the_level_and_below_by_the_rest():
    quantiles, came = drawn(5, 3), drawn(5, seed=1)
    found = pinball_loss(quantiles, came, FEW)
    for i, level in enumerate(FEW):
        above = came - quantiles[:, i]
        expected = 2 * torch.where(above > 0, level * above, (level - 1) * above)
        torch.testing.assert_close(found[:, i], expected)
    made = Quantiles(FEW)
    torch.testing.assert_close(made.loss((quantiles,), came), found.mean(1))


def test_the_pinball_loss_over_all_levels_is_the_crps():
    """Against the closed form of a normal distribution."""
    levels = tuple((np.arange(4000) + 0.5) / 4000)
    quantiles = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))
    came = torch.tensor([-2.0, 0.0, 0.7], dtype=torch.float64)
    found = pinball_loss(quantiles.expand(3, -1), came, levels).mean(1)
    z = came.numpy()
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    torch.testing.assert_close(found, torch.from_numpy(exact), atol=1e-3, rtol=0)


@every_distribution
def test_quantiles_of_a_distribution_are_what_scipy_says(name):
    made, parameters, _ = placed(name, 2.0)
    levels = (0.001, *LEVELS, 0.999)
    found = made.quantiles(parameters, levels)
    assert found.shape == (6, 3, len(levels))
    theirs = scipys(name, parameters)
    expected = np.stack([theirs.ppf(level) for level in levels], -1)
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("level", [1e-4, 0.005, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999])
def test_heavy_tails_are_known_at_any_degree_of_freedom(level):
    freedom = torch.from_numpy(np.geomspace(2 + 1e-4, 1e4, 500)).float()
    mean, width = torch.zeros(500), torch.ones(500)
    found = StudentT().quantiles((mean, width, freedom), (level,)).squeeze(1)
    expected = torch.from_numpy(stats.t.ppf(level, freedom.double().numpy())).float()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@every_output
def test_placing_is_affine(name):
    """A network's numbers in a window of another scale say the same, moved and stretched."""
    made, raw, came = ALL[name](), drawn(4, 3, ALL[name]().size), drawn(4, 3, seed=1)
    zero, one = torch.zeros(4, 3), torch.ones(4, 3)
    scale = drawn(4, 3, seed=2).exp()
    location = zero if name == "negative_binomial" else drawn(4, 3, seed=3)
    plain, moved = made.to_params(raw, zero, one), made.to_params(raw, location, scale)
    torch.testing.assert_close(made.point(moved), made.point(plain) * scale + location)
    if name in ("quantiles", "gaussian", "student_t"):
        first, second = (made.quantiles(parameters, FEW) for parameters in (plain, moved))
        expected = first * scale.unsqueeze(-1) + location.unsqueeze(-1)
        torch.testing.assert_close(second, expected)
    if name in ("gaussian", "student_t"):
        first, second = made.loss(plain, came), made.loss(moved, came * scale + location)
        torch.testing.assert_close(second, first + scale.log(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t", "negative_binomial"])
def test_one_level_for_each_value_gives_what_all_levels_gave(name):
    made, parameters, _ = placed(name, 5.0)
    whole = made.quantiles(parameters, FEW)
    which = torch.randint(3, (6, 3), generator=torch.Generator().manual_seed(0))
    found = made.icdf(parameters, FEW, which)
    torch.testing.assert_close(found, whole.gather(-1, which.unsqueeze(-1)).squeeze(-1))


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t", "negative_binomial"])
def test_quantiles_rise_with_their_level(name):
    made, parameters, _ = placed(name, 5.0)
    levels = FEW if name == "quantiles" else LEVELS
    assert (made.quantiles(parameters, levels).diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("name", ["quantiles", "gaussian", "student_t"])
def test_the_forecast_as_one_number_is_the_median(name):
    made, parameters, _ = placed(name, 5.0)
    median = made.quantiles(parameters, (0.5,)).squeeze(-1)
    torch.testing.assert_close(made.point(parameters), median)


def test_counts_forecast_their_mean():
    made, parameters, _ = placed("negative_binomial", 5.0)
    mean = torch.from_numpy(scipys("negative_binomial", parameters).mean()).float()
    torch.testing.assert_close(made.point(parameters), mean)


def test_quantiles_that_cross_are_put_in_order():
    made = Quantiles(FEW)
    crossing = (torch.tensor([[3.0, 1.0, 2.0]]),)
    assert made.quantiles(crossing, FEW).tolist() == [[1, 2, 3]]
    assert made.point(crossing).tolist() == [2]


def test_between_two_levels_quantiles_are_interpolated_and_beyond_them_unknown():
    made = Quantiles(FEW)
    found = made.quantiles((torch.tensor([[0.0, 4.0, 8.0]]),), (0.05, 0.1, 0.2, 0.5, 0.9, 0.95))
    torch.testing.assert_close(
        found, torch.tensor([[torch.nan, 0, 1, 4, 8, torch.nan]]), equal_nan=True
    )


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@every_output
def test_gradients_stay_finite_whatever_a_network_says(name, sign, size):
    made = ALL[name]()
    raw = torch.full((2, made.size), sign * size, requires_grad=True)
    parameters = made.to_params(raw, torch.zeros(2), torch.tensor([0.01, 100.0]))
    loss = made.loss(parameters, torch.tensor([0.0, 7.0]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", ["point", *list(ALL)[3:]])
def test_every_output_is_made_by_its_name(name):
    made = build_output(name)
    assert type(made) is (Point if name == "point" else type(ALL[name]()))
    if name == "quantiles":
        assert made.levels == LEVELS
        assert made.size == len(LEVELS)
    assert made.probabilistic == (name != "point")


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
def test_names_and_levels_without_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
