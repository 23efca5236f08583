"""Scores as a person likes to read them."""

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentiment.evaluation.metrics import wilson_interval


def print_scores(metrics: dict, title: str, console: Console | None = None):
    """Prints one evaluation: headline numbers, then a line per class.

    Args:
        metrics: as of `classification_metrics`.
        title: what was evaluated.
        console: where to; the terminal by default.
    """
    console = console or Console()
    console.print(f"\n[bold]{title}[/bold]: {headline(metrics)}", highlight=False)
    table = Table()
    for name in ("class", "precision", "recall", "F1", "examples"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, scores in metrics["per_class"].items():
        table.add_row(
            Text(name),
            *(f"{scores[key]:.1%}" for key in ("precision", "recall", "f1")),
            f"{scores['support']:,}",
        )
    console.print(table)


def headline(metrics: dict) -> str:
    """Accuracy with its 95% interval, macro-F1, loss and calibration error."""
    count = metrics["num_examples"]
    low, high = wilson_interval(round(metrics["accuracy"] * count), count)
    return (
        f"accuracy {metrics['accuracy']:.2%} (95% interval {low:.1%} to {high:.1%}), "
        f"macro-F1 {metrics['macro_f1']:.2%}, loss {metrics['loss']:.3f}, "
        f"calibration error {metrics['expected_calibration_error']:.3f}"
    )


def print_run(metrics: dict, workdir: str, console: Console | None = None):
    """Prints a finished training run.

    Args:
        metrics: what `metrics.json` holds.
        workdir: where it was saved.
        console: where to; the terminal by default.
    """
    console = console or Console()
    for name in ("validation", "test"):
        if name in metrics:
            print_scores(metrics[name], name.capitalize(), console)
    run = metrics["run"]
    workdir = escape(str(workdir))
    seen = run["tokens_read"] + run["tokens_dropped"]
    console.print(
        Panel(
            f"{run['num_parameters']:,} parameters, best epoch {run['best_epoch']} of "
            f"{run['num_epochs']}, {run['seconds'] / 60:.1f} minutes on "
            f"{run['device']}\n"
            f"{run['tokens_read']:,} training tokens an epoch, "
            f"{run['tokens_dropped'] / seen:.1%} of all left out by truncation, rows "
            f"{run['fill_ratio']:.1%} full\n"
            f"Saved in {workdir}\n"
            f'Try it: python scripts/predict.py --model={workdir} --text="..."',
            title="Run",
            title_align="left",
        )
    )
