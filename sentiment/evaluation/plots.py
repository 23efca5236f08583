"""Figures of a training run and of an evaluation, written as PNG files.

Figures are built on matplotlib's object-oriented API with the Agg canvas, never
on pyplot: no display is needed and no global state is touched. Each `plot_*`
function writes the figure that its `*_figure` function returns.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from sentiment.config import MONITORS
from sentiment.evaluation.comparison import Compared
from sentiment.evaluation.trials import TrialResult, best_of
from sentiment.runtime.outputs import new_file, storage_errors
from sentiment.runtime.printable import printable

DPI = 150

# Okabe and Ito's palette, which stays distinct under colour blindness.
BLUE, ORANGE, VERMILLION, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"
INK, MUTED, GRID = "#222222", "#666666", "#E4E4E4"

MAX_NAME_LENGTH = 28
# Beyond this many epochs markers run into each other.
MAX_MARKED_EPOCHS = 40


def plot_learning_curves(
    history: dict[str, list[float]], best_epoch: int | None, path: str | Path
) -> Path:
    """Write loss and accuracy over the epochs as one PNG.

    Args:
        history: Series by name, one float per epoch. Those drawn are `loss`,
            `val_cross_entropy` (else `val_loss`), `accuracy`, `val_accuracy`
            and `val_macro_f1`; an absent or empty one is left out.
        best_epoch: The epoch to mark, counted from 1, or None.
        path: The file to write; its folder is created.

    Returns:
        The path written, 1500 x 630 pixels.

    Example:
        `plot_learning_curves({"loss": [0.6, 0.4]}, best_epoch=2, path="curves.png")`
    """
    return _save(learning_curves_figure(history, best_epoch), path)


def plot_confusion_matrix(
    confusion_matrix: list[list[int]], label_names: list[str], path: str | Path
) -> Path:
    """Write a confusion matrix as one PNG, coloured by share of the true class.

    Args:
        confusion_matrix: (C, C) int, rows true and columns predicted. A row
            without an example is drawn with counts but without percentages.
        label_names: C names; those over 28 characters are shortened.
        path: The file to write; its folder is created.

    Returns:
        The path written; the image grows with C and with the longest name.

    Raises:
        ValueError: The matrix is not C x C for the C label names.

    Example:
        `plot_confusion_matrix([[9, 1], [2, 8]], ["bad", "good"], "confusion.png")`
    """
    return _save(confusion_matrix_figure(confusion_matrix, label_names), path)


def plot_reliability(
    bins: dict[str, np.ndarray], expected_calibration_error: float, path: str | Path
) -> Path:
    """Write a reliability diagram over a histogram of confidences as one PNG.

    The diagram is that of Guo et al., "On Calibration of Modern Neural Networks",
    ICML 2017, figure 1, with the gaps coloured by their sign.

    Args:
        bins: What `sentiment.evaluation.metrics.reliability_bins` returns.
        expected_calibration_error: The fraction named in the title.
        path: The file to write; its folder is created.

    Returns:
        The path written, 900 x 1050 pixels.

    Example:
        `plot_reliability(reliability_bins(labels, probabilities), 0.03, "ece.png")`
    """
    return _save(reliability_figure(bins, expected_calibration_error), path)


def plot_perplexity(history: dict[str, list[float]], path: str | Path) -> Path:
    """Write a language model's perplexity over its updates as one PNG.

    Args:
        history: `update`, `loss` in nats per token, and `val_perplexity`.
        path: The file to write; its folder is created.

    Returns:
        The path written, 1050 x 630 pixels.
    """
    return _save(perplexity_figure(history), path)


def plot_comparison(compared: Sequence[Compared], path: str | Path) -> Path:
    """Write the accuracies of several runs with their intervals as one PNG.

    Args:
        compared: What `sentiment.evaluation.comparison.compare` returns.
        path: The file to write; its folder is created.

    Returns:
        The path written; the image grows with the number of runs.
    """
    return _save(comparison_figure(compared), path)


def plot_search(trials: Sequence[TrialResult], monitor: str, path: str | Path) -> Path:
    """Write what each trial of a search scored, and the best so far, as one PNG.

    Args:
        trials: By number; those without a score leave a gap.
        monitor: The score's name: `accuracy`, `macro_f1` or `loss`.
        path: The file to write; its folder is created.

    Returns:
        The path written, 1050 x 630 pixels.
    """
    return _save(search_figure(trials, monitor), path)


def plot_importances(importances: dict[str, float], path: str | Path) -> Path:
    """Write how much each setting mattered to a search as one PNG.

    Args:
        importances: Shares by setting, which add up to 1, as of PED-ANOVA (Watanabe et
            al. 2023, https://arxiv.org/abs/2304.10255).
        path: The file to write; its folder is created.

    Returns:
        The path written; the image grows with the number of settings.
    """
    return _save(importances_figure(importances), path)


def search_figure(trials: Sequence[TrialResult], monitor: str) -> Figure:
    """Draw the figure of `plot_search`."""
    figure = _new_figure(7, 4.2)
    axes = figure.subplots()
    _style(axes)
    for state, label, color, marker in (
        ("complete", "Trial", BLUE, "o"),
        ("pruned", "Pruned, at its last epoch", MUTED, "x"),
    ):
        shown = [t for t in trials if t.state == state and t.value is not None]
        if shown:
            numbers, values = zip(*((t.number, t.value) for t in shown), strict=True)
            axes.plot(numbers, values, marker, color=color, label=label)
    best = [best_of(trials[: i + 1], monitor) for i in range(len(trials))]
    pairs = [(t.number, b.value) for t, b in zip(trials, best, strict=True) if b]
    if pairs:
        axes.step(
            *zip(*pairs, strict=True),
            where="post",
            color=VERMILLION,
            linewidth=1.8,
            label="Best so far",
        )
        axes.legend(framealpha=0.9, edgecolor="none", fontsize=9)
    if monitor != "loss":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(
        xlabel="Trial", ylabel=f"Validation {MONITORS[monitor].title}", title="Search"
    )
    return figure


def importances_figure(importances: dict[str, float]) -> Figure:
    """Draw the figure of `plot_importances`, the greatest share on top."""
    figure = _new_figure(7, 1.4 + 0.4 * len(importances))
    axes = figure.subplots()
    _style(axes)
    ranked = sorted(importances.items(), key=lambda pair: pair[1])
    bars = axes.barh(
        [_shorten(name) for name, _ in ranked],
        [share for _, share in ranked],
        color=BLUE,
        height=0.6,
    )
    axes.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=8, color=INK)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="How much it sets the best trials apart (PED-ANOVA)")
    return figure


def comparison_figure(compared: Sequence[Compared]) -> Figure:
    """Draw the figure of `plot_comparison`, one dot with a whisker a run."""
    figure = _new_figure(7, 1.4 + 0.4 * len(compared))
    axes = figure.subplots()
    _style(axes)
    places = range(len(compared))[::-1]
    for place, run in zip(places, compared, strict=True):
        low, high = run.accuracy_interval
        axes.errorbar(
            run.accuracy,
            place,
            xerr=[[run.accuracy - low], [high - run.accuracy]],
            color=BLUE,
            marker="o",
            capsize=3,
        )
        axes.annotate(
            f"{run.accuracy:.1%}",
            (run.accuracy, place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
    axes.set_yticks(list(places), [_shorten(run.name) for run in compared])
    axes.set_ylim(-0.6, len(compared) - 0.3)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="Test accuracy with its 95% interval")
    return figure


def perplexity_figure(history: dict[str, list[float]]) -> Figure:
    """Draw the figure of `plot_perplexity`, perplexity on a logarithmic axis."""
    figure = _new_figure(7, 4.2)
    axes = figure.subplots()
    _style(axes)
    training = np.exp(np.minimum(history["loss"], 700.0))  # beyond, no float holds it
    curves = (
        ("Training", training, BLUE, "o"),
        ("Validation", history["val_perplexity"], VERMILLION, "s"),
    )
    for label, values, color, marker in curves:
        few = len(values) <= MAX_MARKED_EPOCHS
        axes.plot(
            history["update"],
            values,
            color=color,
            label=label,
            linewidth=1.8,
            marker=marker if few else None,
        )
    axes.set_yscale("log")
    axes.set(xlabel="Update", ylabel="Perplexity", title="Perplexity")
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


def learning_curves_figure(
    history: dict[str, list[float]], best_epoch: int | None
) -> Figure:
    """Draw the figure of `plot_learning_curves`."""
    figure = _new_figure(10, 4.2)
    loss_axes, score_axes = figure.subplots(1, 2)
    validation = ("val_loss", "Validation loss", VERMILLION, "s")
    if history.get("val_cross_entropy"):
        validation = ("val_cross_entropy", "Validation cross-entropy", VERMILLION, "s")
    loss_series = (("loss", "Training loss", BLUE, "o"), validation)
    score_series = (
        ("accuracy", "Training accuracy", BLUE, "o"),
        ("val_accuracy", "Validation accuracy", VERMILLION, "s"),
        ("val_macro_f1", "Validation macro-F1", GREEN, "^"),
    )
    num_epochs = max(
        len(history.get(key) or ()) for key, *_ in loss_series + score_series
    )
    _draw_curves(loss_axes, history, loss_series, num_epochs, best_epoch)
    _draw_curves(score_axes, history, score_series, num_epochs, best_epoch)
    loss_axes.set(title="Loss", ylabel="Loss (nats)")
    both = bool(history.get("val_macro_f1"))
    score_axes.set(
        title="Accuracy and macro-F1" if both else "Accuracy",
        ylabel="Score" if both else "Accuracy",
    )
    return figure


def confusion_matrix_figure(
    confusion_matrix: list[list[int]], label_names: list[str]
) -> Figure:
    """Draw the figure of `plot_confusion_matrix`."""
    counts = np.asarray(confusion_matrix)
    num_classes = len(label_names)
    if counts.shape != (num_classes, num_classes):
        raise ValueError(
            f"{num_classes} label names need a {num_classes} x {num_classes} matrix, "
            f"received shape {counts.shape}."
        )
    names = [_shorten(name) for name in label_names]
    cell = float(np.clip(5 / num_classes, 0.62, 1.5))
    name_width = 0.09 * max(map(len, names))
    rotate = name_width > 0.9 * cell
    name_height = 0.75 * name_width if rotate else 0.2
    side = cell * num_classes
    # Cells are square, and constrained layout cuts labels around a fixed aspect.
    figure = _new_figure(
        side + name_width + 1.7, side + name_height + 1.1, layout="compressed"
    )
    axes = figure.subplots()
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    image = axes.imshow(shares, cmap="Blues", norm=Normalize(0, 1))
    _draw_cells(axes, image, counts, totals[:, 0], fontsize=min(13, 12.5 * cell))
    _draw_names(axes, names, rotate)
    bar = figure.colorbar(
        image, ax=axes, format=PercentFormatter(1), fraction=0.05, pad=0.02, aspect=30
    )
    bar.set_label("Share of the true class", color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=MUTED, labelcolor=MUTED)
    return figure


def reliability_figure(
    bins: dict[str, np.ndarray], expected_calibration_error: float
) -> Figure:
    """Draw the figure of `plot_reliability`."""
    figure = _new_figure(6, 7)
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    _draw_diagram(diagram, bins)
    diagram.set_title(f"Reliability (ECE = {expected_calibration_error:.2%})")
    edges = bins["edges"]
    histogram.bar(
        edges[:-1],
        bins["count"],
        np.diff(edges),
        align="edge",
        color="#8C8C8C",
        edgecolor="white",
    )
    _style(histogram)
    histogram.set(xlabel="Confidence", ylabel="Examples", xlim=(0, 1))
    histogram.xaxis.set_major_formatter(PercentFormatter(1))
    histogram.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    histogram.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    figure.align_ylabels()
    return figure


def _draw_curves(axes: Axes, history, series, num_epochs, best_epoch) -> None:
    """Draw the series that the history has, and the best epoch, on one panel."""
    _style(axes)
    axes.set_xlabel("Epoch")
    if not any(history.get(key) for key, *_ in series):
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5,
            0.5,
            "Not recorded",
            color=MUTED,
            ha="center",
            va="center",
            transform=axes.transAxes,
        )
        return
    if best_epoch is not None:
        axes.axvline(
            best_epoch,
            color=MUTED,
            linestyle=(0, (4, 3)),
            linewidth=1.2,
            label=f"Best epoch ({best_epoch})",
            zorder=1.5,
        )
    for key, label, color, marker in series:
        if values := history.get(key):
            axes.plot(
                range(1, len(values) + 1),
                values,
                color=color,
                label=label,
                linewidth=1.8,
                marker=marker if len(values) <= MAX_MARKED_EPOCHS else None,
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.7,
            )
    # Below 1, so that no tick falls on an epoch 0.
    margin = 0.5 if num_epochs == 1 else min(0.9, 0.05 * num_epochs)
    axes.set_xlim(1 - margin, num_epochs + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=9, handlelength=1.6)


def _draw_cells(axes: Axes, image, counts, totals, fontsize: float) -> None:
    """Write each count and its percentage of the row in black or white."""
    digits = 1 if len(counts) <= 5 else 0
    for (row, column), count in np.ndenumerate(counts):
        share = image.get_array()[row, column]
        text = f"{count:,}"
        if totals[row]:
            text += f"\n{share:.{digits}%}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            color=_text_color(image.to_rgba(share)),
            fontsize=fontsize,
            linespacing=1.3,
        )


def _draw_names(axes: Axes, names: list[str], rotate: bool) -> None:
    """Label the axes of a confusion matrix and separate its cells."""
    places = range(len(names))
    # A "$" in a label name is a dollar sign, not the start of a formula.
    axes.set_yticks(places, names, parse_math=False)
    axes.set_xticks(places, names, parse_math=False)
    if rotate:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    borders = np.arange(len(names) + 1) - 0.5
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Confusion matrix")
    axes.set(xlabel="Predicted", ylabel="True")


def _draw_diagram(axes: Axes, bins: dict[str, np.ndarray]) -> None:
    """Draw accuracy by confidence, the gaps between the two and the diagonal."""
    _style(axes)
    left, widths = bins["edges"][:-1], np.diff(bins["edges"])
    accuracy, confidence = bins["accuracy"], bins["confidence"]
    axes.bar(
        left,
        accuracy,
        widths,
        align="edge",
        color=BLUE,
        edgecolor="white",
        label="Accuracy",
    )
    # Blue is accuracy throughout, so an underconfident gap hatches blue.
    for label, face, edge, shown in (
        ("Gap, overconfident", "#FBE6D9", VERMILLION, confidence > accuracy),
        ("Gap, underconfident", BLUE, ORANGE, confidence < accuracy),
    ):
        if shown.any():
            axes.bar(
                left[shown],
                (confidence - accuracy)[shown],
                widths[shown],
                bottom=accuracy[shown],
                align="edge",
                facecolor=face,
                edgecolor=edge,
                hatch="////",
                label=label,
            )
    axes.plot(
        (0, 1),
        (0, 1),
        color=INK,
        linestyle="--",
        linewidth=1.2,
        label="Perfect calibration",
    )
    axes.set(ylabel="Accuracy", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper left", framealpha=0.9, edgecolor="none", fontsize=9)


def _text_color(rgba) -> str:
    """Return black or white, whichever contrasts more with a background.

    Relative luminance of WCAG 2.1; both contrasts are equal at 0.179, so the
    ratio is never below 4.5.
    """
    rgb = np.asarray(rgba[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def _shorten(name: str) -> str:
    """Cut a long label name and say so with an ellipsis; show control characters."""
    name = printable(name)
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def _style(axes: Axes) -> None:
    """Give an axes a light grid behind its data and two quiet spines."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#AAAAAA")
    axes.tick_params(color="#AAAAAA", labelcolor=INK)


def _new_figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """Return an empty figure of that size in inches, on an Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, creating the folder, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as temporary, storage_errors(path):
        figure.savefig(temporary, format="png")
    return path


def draw_evaluation_plots(evaluations, folder: Path):
    """Draws confusion matrix and reliability of the test, or of the validation."""
    shown = evaluations["test"] or evaluations["validation"]
    label_names = list(shown.metrics["per_class"])
    plot_confusion_matrix(
        shown.metrics["confusion_matrix"], label_names, folder / "confusion_matrix.png"
    )
    plot_reliability(
        shown.reliability,
        shown.metrics["expected_calibration_error"],
        folder / "reliability.png",
    )
