import io

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from rnn_lab.training.plots import grid_color, label_color, label_steps, plot_learning_curves


def render(figure):
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")
    return figure


def test_losses_and_validation_metrics_have_a_panel_each():
    frame = {
        "step": [0.0, 1.0, 1.0],
        "epoch": [0.0, 0.0, 0.0],
        "train/loss": [0.7, 0.6, None],
        "train/lr": [0.1, 0.1, 0.1],
        "val/loss": [None, None, 0.5],
        "val/accuracy": [None, None, 0.8],
        "test/loss": [None, None, 0.5],
    }
    left, right = render(plot_learning_curves(frame)).axes
    assert left.get_legend_handles_labels()[1] == ["train/loss", "val/loss"]
    assert right.get_legend_handles_labels()[1] == ["accuracy"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "validation metric")


def test_metrics_of_different_scales_have_a_panel_each():
    scales = {"bleu": 30.0, "chrf": 60.0, "exact_match": 0.2, "f1": 0.9, "perplexity": 900.0}
    columns = {f"val/{name}": [value, value * 1.01] for name, value in scales.items()}
    panels = render(plot_learning_curves({"step": [0, 1], **columns})).axes
    labels = [axes.get_legend_handles_labels()[1] for axes in panels]
    assert labels == [["exact_match", "f1"], ["bleu", "chrf"], ["perplexity"]]


def test_ten_curves_of_a_panel_are_distinct_and_beside_their_legend():
    columns = {f"val/m{i}": [0.1 * i, 0.1] for i in range(10)}
    (axes,) = render(plot_learning_curves({"step": [0, 1], **columns})).axes
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(styles) == 10
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


def test_a_step_logged_twice_is_plotted_with_the_later_value():
    frame = {"step": [0.0, 1.0, 2.0, 1.0], "train/loss": [0.9, 0.8, 0.7, 0.5]}
    (axes,) = plot_learning_curves(frame).axes
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[0, 0.9], [1, 0.5], [2, 0.7]]


def test_long_curves_have_a_running_mean():
    frame = {"step": list(range(200)), "train/loss": [1.0] * 200}
    (axes,) = render(plot_learning_curves(frame)).axes
    assert len(axes.get_lines()) == 2


def test_an_empty_file_gives_an_empty_figure():
    assert len(render(plot_learning_curves({})).axes) == 1


def test_values_that_are_not_finite_are_counted_in_the_legend_and_leave_the_scale():
    nan, inf = float("nan"), float("inf")
    columns = {"val/f1": [0.5, 0.6, 0.7], "val/accuracy": [0.5, nan, 0.7], "val/mse": [9, inf, 8]}
    first, second = render(plot_learning_curves({"step": [0, 1, 2], **columns})).axes
    assert first.get_legend_handles_labels()[1] == ["f1", "accuracy (1 not finite)"]
    assert second.get_legend_handles_labels()[1] == ["mse (1 not finite)"]


@pytest.mark.parametrize("value", [0.5, 7.0, float("nan")])
def test_one_epoch_is_plotted_as_a_point(value):
    columns = {"train/loss": [0.5], "val/loss": [value], "val/bleu": [value]}
    for axes in render(plot_learning_curves({"step": [100], **columns})).axes:
        assert {line.get_marker() for line in axes.get_lines()} == {"o"}


@pytest.mark.parametrize("steps", [[4], [4, 9]])
def test_steps_are_labeled_with_whole_numbers(steps):
    axes = Figure().subplots()
    axes.plot(steps, steps, "o")
    label_steps(axes)
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(ticks) >= 2
    assert all(tick == round(tick) for tick in ticks)


def test_colors_follow_the_style_of_matplotlib():
    assert (label_color(), grid_color()) == ("#595959", "#e6e6e6")
    with rc_context({"text.color": "white", "figure.facecolor": "black"}):
        assert (label_color(), grid_color()) == ("#a6a6a6", "#1a1a1a")
