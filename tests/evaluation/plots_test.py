import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from sentiment.evaluation import plots
from sentiment.evaluation.metrics import reliability_bins
from sentiment.evaluation.trials import TrialResult

pytestmark = pytest.mark.usefixtures("drawn_plots")

HISTORY = {
    "loss": [0.5, 0.3, 0.2],
    "val_loss": [0.9, 0.8, 0.7],
    "val_cross_entropy": [0.4, 0.35, 0.38],
    "accuracy": [0.7, 0.85, 0.9],
    "val_accuracy": [0.8, 0.86, 0.84],
    "val_macro_f1": [0.79, 0.85, 0.83],
}


def series(axes):
    """Return label -> (x, y) of the lines of a panel."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
    }


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def bins_of(confidence_and_correct, num_bins=2):
    labels = [0 if correct else 1 for _, correct in confidence_and_correct]
    probabilities = [[c, 1 - c] for c, _ in confidence_and_correct]
    return reliability_bins(labels, probabilities, num_bins)


def assert_png(path, width, height):
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(path)
    assert pixels.shape[:2] == (height, width)
    assert pixels[..., :3].std() > 0.01
    return pixels


def test_learning_curves_draw_every_series_from_epoch_one():
    loss_axes, score_axes = plots.learning_curves_figure(HISTORY, 2).axes
    epochs = [1, 2, 3]
    best = ([2, 2], [0, 1])
    assert series(loss_axes) == {
        "Best epoch (2)": best,
        "Training loss": (epochs, HISTORY["loss"]),
        "Validation cross-entropy": (epochs, HISTORY["val_cross_entropy"]),
    }
    assert series(score_axes) == {
        "Best epoch (2)": best,
        "Training accuracy": (epochs, HISTORY["accuracy"]),
        "Validation accuracy": (epochs, HISTORY["val_accuracy"]),
        "Validation macro-F1": (epochs, HISTORY["val_macro_f1"]),
    }
    assert legend(loss_axes) == list(series(loss_axes))
    assert legend(score_axes) == list(series(score_axes))


def test_learning_curves_fall_back_to_val_loss():
    history = {**HISTORY, "val_cross_entropy": []}
    loss_axes, _ = plots.learning_curves_figure(history, None).axes
    assert series(loss_axes)["Validation loss"][1] == HISTORY["val_loss"]


def test_learning_curves_leave_out_what_is_absent():
    figure = plots.learning_curves_figure({"loss": [0.5, 0.4]}, None)
    loss_axes, score_axes = figure.axes
    assert legend(loss_axes) == ["Training loss"]
    assert score_axes.lines[:] == []
    assert [text.get_text() for text in score_axes.texts] == ["Not recorded"]


def test_learning_curves_of_an_empty_history(tmp_path):
    assert_png(plots.plot_learning_curves({}, None, tmp_path / "a.png"), 1500, 630)


@pytest.mark.parametrize("num_epochs", [1, 2, 3, 10, 60])
def test_learning_curve_ticks_are_epochs(num_epochs):
    figure = plots.learning_curves_figure({"loss": [0.5] * num_epochs}, None)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks and all(tick == int(tick) >= 1 for tick in ticks)
    assert 0 < low < 1 and num_epochs < high < num_epochs + 1


def test_a_single_epoch_shows_as_a_marker():
    figure = plots.learning_curves_figure({"loss": [0.5]}, 1)
    line = next(x for x in figure.axes[0].lines if x.get_label() == "Training loss")
    assert line.get_marker() not in ("None", "", None)


def test_plot_learning_curves_writes_a_png_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "curves.png"
    assert plots.plot_learning_curves(HISTORY, 2, str(path)) == path
    assert_png(path, 1500, 630)


def test_plot_perplexity_writes_a_png(tmp_path):
    history = {"update": [10, 20], "loss": [5.0, 4.0], "val_perplexity": [140.0, 60.0]}
    path = plots.plot_perplexity(history, tmp_path / "perplexity.png")
    assert path == tmp_path / "perplexity.png"
    assert_png(path, 1050, 630)


def test_confusion_matrix_is_normalised_by_row():
    axes, _ = plots.confusion_matrix_figure([[9, 1], [600, 600]], ["bad", "ok"]).axes
    image = axes.images[0]
    np.testing.assert_allclose(image.get_array(), [[0.9, 0.1], [0.5, 0.5]])
    # The colours span 0 to 1 whatever the shares are.
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    # Positions are (column, row).
    assert texts == {
        (0, 0): "9\n90.0%",
        (1, 0): "1\n10.0%",
        (0, 1): "600\n50.0%",
        (1, 1): "600\n50.0%",
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["bad", "ok"]


def test_a_class_without_an_example_has_no_percentages():
    axes, _ = plots.confusion_matrix_figure([[1234, 0], [0, 0]], ["a", "b"]).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["1,234\n100.0%", "0\n0.0%", "0", "0"]


def contrast(color, background):
    """Return the WCAG 2.1 contrast ratio of two sRGB colours."""

    def luminance(rgb):
        rgb = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]

    low, high = sorted([luminance(color), luminance(background)])
    return (high + 0.05) / (low + 0.05)


def test_cell_text_is_readable_on_every_shade():
    matrix = [[share, 100 - share] for share in range(0, 101, 5)]
    matrix = np.pad(matrix, ((0, 0), (0, 19)))
    axes, _ = plots.confusion_matrix_figure(matrix, [str(i) for i in range(21)]).axes
    image = axes.images[0]
    for text in axes.texts:
        column, row = text.get_position()
        background = image.to_rgba(image.get_array()[row, column])[:3]
        assert contrast(to_rgb(text.get_color()), background) >= 4.5


@pytest.mark.parametrize("num_classes", [2, 3, 7, 20])
@pytest.mark.parametrize("name", ["a", "a rather long $5 label name that is $6"])
def test_confusion_matrix_fits_its_figure(num_classes, name):
    figure = plots.confusion_matrix_figure(
        np.full((num_classes, num_classes), 12345), [name] * num_classes
    )
    figure.draw_without_rendering()
    axes, bar = figure.axes
    # Everything keeps 8 pixels from the border.
    for box in (axes.get_tightbbox(), bar.get_tightbbox()):
        assert min(box.x0, box.y0) >= 8
        assert box.x1 <= figure.bbox.x1 - 8 and box.y1 <= figure.bbox.y1 - 8
    cell = axes.get_window_extent().width / num_classes
    assert all(text.get_window_extent().width < cell for text in axes.texts)
    labels = axes.get_xticklabels()
    assert {label.get_rotation() for label in labels} == {45 if len(name) > 1 else 0}
    shown = labels[0].get_text()
    assert shown == ("a" if name == "a" else "a rather long $5 label name…")
    for label in (*labels, *axes.get_yticklabels()):
        assert not label.get_parse_math()


def test_confusion_matrix_needs_a_name_per_class():
    with pytest.raises(ValueError, match=r"3 x 3 matrix, received shape \(2, 2\)"):
        plots.confusion_matrix_figure([[1, 2], [3, 4]], ["a", "b", "c"])


def test_plot_confusion_matrix_writes_a_png(tmp_path):
    path = tmp_path / "confusion.png"
    assert plots.plot_confusion_matrix([[9, 1], [2, 8]], ["a", "b"], path) == path
    # Two cells of 1.5 inches, 0.09 for the name and 1.7 beside; 0.2 and 1.1 below.
    assert_png(path, round((3 + 0.09 + 1.7) * 150), round((3 + 0.2 + 1.1) * 150))


def bars(axes, label):
    """Return (left, bottom, top) of the bars of a legend entry."""
    container = next(c for c in axes.containers if c.get_label() == label)
    return [
        pytest.approx((p.get_x(), p.get_y(), p.get_y() + p.get_height()), nan_ok=True)
        for p in container.patches
    ]


def test_reliability_draws_accuracy_gaps_and_counts():
    # Three bins: empty; both right at 0.6; one of three right at 0.9.
    bins = bins_of([(0.6, 1), (0.6, 1), (0.9, 1), (0.9, 0), (0.9, 0)], num_bins=3)
    diagram, histogram = plots.reliability_figure(bins, 0.0765).axes
    nan = float("nan")
    assert bars(diagram, "Accuracy") == [
        (0, 0, nan),
        (1 / 3, 0, 1),
        (2 / 3, 0, 1 / 3),
    ]
    # Gaps run from the accuracy to the confidence.
    assert bars(diagram, "Gap, underconfident") == [(1 / 3, 1, 0.6)]
    assert bars(diagram, "Gap, overconfident") == [(2 / 3, 1 / 3, 0.9)]
    assert [patch.get_height() for patch in histogram.patches] == [0, 2, 3]
    assert series(diagram)["Perfect calibration"] == ([0, 1], [0, 1])
    assert diagram.get_title() == "Reliability (ECE = 7.65%)"
    assert (histogram.get_xlabel(), histogram.get_ylabel()) == (
        "Confidence",
        "Examples",
    )


def test_reliability_legend_names_only_gaps_that_are_there():
    bins = bins_of([(0.75, 1), (0.75, 1), (0.75, 1), (0.75, 0)])
    diagram, _ = plots.reliability_figure(bins, 0.0).axes
    assert sorted(legend(diagram)) == ["Accuracy", "Perfect calibration"]


def test_plot_reliability_writes_a_png(tmp_path):
    path = tmp_path / "reliability.png"
    assert plots.plot_reliability(bins_of([(0.9, 0)]), 0.9, path) == path
    assert_png(path, 900, 1050)


def test_drawing_touches_no_global_state(tmp_path):
    before = dict(matplotlib.rcParams)
    plots.plot_learning_curves(HISTORY, 1, tmp_path / "a.png")
    plots.plot_confusion_matrix([[1, 0], [0, 1]], ["a", "b"], tmp_path / "b.png")
    plots.plot_reliability(bins_of([(0.9, 1)]), 0.1, tmp_path / "c.png")
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


TRIALS = [
    TrialResult(0, "failed", None, {}),
    TrialResult(1, "complete", 0.5, {}),
    TrialResult(2, "pruned", 0.4, {}),
    TrialResult(3, "complete", 0.7, {}),
    TrialResult(4, "complete", 0.6, {}),
]


@pytest.mark.parametrize(
    ("monitor", "best"),
    [("accuracy", [0.5, 0.5, 0.7, 0.7]), ("loss", [0.5, 0.5, 0.5, 0.5])],
)
def test_a_search_is_drawn_with_its_best_so_far(monitor, best):
    (axes,) = plots.search_figure(TRIALS, monitor).axes
    assert series(axes) == {
        "Trial": ([1, 3, 4], [0.5, 0.7, 0.6]),
        "Pruned, at its last epoch": ([2], [0.4]),
        "Best so far": ([1, 2, 3, 4], best),
    }
    assert axes.get_ylabel() == f"Validation {monitor}"


def test_importances_are_drawn_with_the_greatest_on_top(tmp_path):
    shares = {"dropout": 0.25, "learning_rate": 0.7, "epochs": 0.05}
    (axes,) = plots.importances_figure(shares).axes
    assert [bar.get_width() for bar in axes.patches] == [0.05, 0.25, 0.7]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["epochs", "dropout", "learning_rate"]
    assert_png(plots.plot_importances(shares, tmp_path / "a.png"), 1050, 390)
    assert_png(plots.plot_search(TRIALS, "loss", tmp_path / "b.png"), 1050, 630)
