"""Scores as a person likes to read them."""

import shlex
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentiment.config import MONITORS
from sentiment.data.gathering import SourceCounts
from sentiment.evaluation.comparison import Compared
from sentiment.evaluation.metrics import wilson_interval
from sentiment.evaluation.trials import (
    TrialResult,
    best_of,
    setting_text,
    varied,
)
from sentiment.runtime.printable import printable


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
            Text(printable(name)),
            *(f"{scores[key]:.1%}" for key in ("precision", "recall", "f1")),
            f"{scores['support']:,}",
        )
    console.print(table)
    absent = [n for n, scores in metrics["per_class"].items() if not scores["support"]]
    if absent:
        console.print(
            Text(
                f"No example is of {printable(', '.join(absent))}; macro-F1 counts an "
                "F1 of 0 for each such class."
            )
        )


def headline(metrics: dict) -> str:
    """Accuracy with its 95% interval, macro-F1, loss and calibration error."""
    count = metrics["num_examples"]
    low, high = wilson_interval(round(metrics["accuracy"] * count), count)
    return (
        f"accuracy {metrics['accuracy']:.2%} (95% interval {low:.1%} to {high:.1%}), "
        f"macro-F1 {metrics['macro_f1']:.2%}, loss {metrics['loss']:.3f}, "
        f"calibration error {metrics['expected_calibration_error']:.3f}"
    )


def print_gathered(counts: Mapping[str, SourceCounts], console: Console | None = None):
    """Prints what became of the texts of each source.

    Args:
        counts: as of `Gathered`.
        console: where to; the terminal by default.
    """
    columns = {
        "texts": lambda count: count.read,
        "to be left out": lambda count: count.excluded,
        "there already": lambda count: count.repeated,
        "with other label": lambda count: count.contradicting,
        "too short or long": lambda count: count.of_other_length,
        "not drawn": lambda count: count.not_drawn,
        "rows": lambda count: count.labels.total(),
    }
    columns = {
        head: number
        for head, number in columns.items()
        if any(map(number, counts.values()))
    }
    table = Table()
    table.add_column("source", overflow="fold")
    for head in columns:
        table.add_column(head, justify="right")
    for name, count in counts.items():
        numbers = (f"{number(count):,}" for number in columns.values())
        table.add_row(Text(printable(name)), *numbers)
    console = console or Console()
    console.print(table)
    for name, count in counts.items():
        labels = sorted(label for label in count.labels if label is not None)
        listed = ", ".join(f"{count.labels[label]:,} {label}" for label in labels)
        if listed:
            console.print(Text(f"{printable(name)}: {printable(listed)}"))


def print_behaviour(found: dict, console: Console | None = None):
    """Prints what share of each behaviour a model has, and where it fails.

    Args:
        found: as of `check_behaviour`.
        console: where to; the terminal by default.
    """
    console = console or Console()
    total = found["all"]
    console.print(
        f"\n[bold]Behaves[/bold] in {total['share']:.1%} (mean of "
        f"{len(found['sections'])} sections, {total['num_cases']:,} cases of the suite "
        f"{escape(printable(found['suite']))})",
        highlight=False,
    )
    table = Table()
    table.add_column("behaviour")
    table.add_column("must be")
    for name in ("cases", "has it"):
        table.add_column(name, justify="right")
    for section, share in found["sections"].items():
        table.add_section()
        table.add_row(
            Text(printable(section), style="bold"),
            "",
            f"{share['num_cases']:,}",
            Text(f"{share['share']:.1%}", style="bold"),
        )
        for one in found["behaviours"]:
            if one["section"] == section:
                table.add_row(
                    Text(f"  {printable(one['name'])}"),
                    one["expected"],
                    f"{one['num_cases']:,}",
                    f"{one['share']:.1%}",
                )
    console.print(table)
    for one in found["behaviours"]:
        for failure in one["failures"]:
            answers = zip(failure["texts"], failure["predicted"], strict=True)
            shown = " → ".join(f"{printable(t)} [{p}]" for t, p in answers)
            console.print(
                Text(f"{one['section']}, {one['name']}, not {one['expected']}: {shown}")
            )


def print_splits(metrics: dict, console: Console | None = None):
    """Prints the scores of each split that was evaluated."""
    console = console or Console()
    for name in ("validation", "test"):
        if name in metrics:
            print_scores(metrics[name], name.capitalize(), console)
    if "test_unseen" in metrics:
        unseen = metrics["test_unseen"]
        count = metrics["test"]["num_examples"] - unseen["num_examples"]
        console.print(
            f"Without the {count:,} test texts that stand in the training data, too: "
            f"{headline(unseen)}",
            highlight=False,
        )


def print_comparison(compared: list[Compared], console: Console | None = None):
    """Prints runs side by side, one a line."""
    console = console or Console()
    table = Table()
    columns = ("run", "accuracy", "95% interval", "macro-F1", "difference", "p")
    for name in columns:
        table.add_column(name, justify="left" if name == "run" else "right")
    for run in compared:
        low, high = run.accuracy_interval
        is_first = run is compared[0]
        below, above = run.difference_interval
        table.add_row(
            Text(run.name),
            f"{run.accuracy:.2%}",
            f"{low:.1%} to {high:.1%}",
            f"{run.macro_f1:.2%}",
            "" if is_first else f"{run.difference:+.2%} ({below:+.1%} to {above:+.1%})",
            "" if is_first else f"{run.p_value:.2g}",
        )
    console.print(table)
    console.print(
        "Differences and p (McNemar's exact test) are against the first run.",
        highlight=False,
    )


def print_compression(metrics: dict, workdir: str, console: Console | None = None):
    """Prints a model before and after it was made smaller.

    Args:
        metrics: as of `compress`.
        workdir: where it was saved.
        console: where to; the terminal by default.
    """
    console = console or Console()
    table = Table(title=f"{metrics['method']}, {metrics['split']} data")
    table.add_column("")
    for name in ("accuracy", "macro-F1", "calibration error", "MB", "ms per review"):
        table.add_column(name, justify="right")
    for name in ("before", "after"):
        scores = metrics[name]
        table.add_row(
            name,
            f"{scores['accuracy']:.2%}",
            f"{scores['macro_f1']:.2%}",
            f"{scores['expected_calibration_error']:.3f}",
            f"{scores['megabytes']:.2f}",
            f"{scores['milliseconds_per_review']:.2f}",
        )
    before, after = metrics["before"], metrics["after"]
    console.print(table)
    console.print(
        f"{after['megabytes'] / before['megabytes']:.1%} of the size, "
        f"{after['accuracy'] - before['accuracy']:+.2%} accuracy on "
        f"{after['num_examples']:,} examples. Saved in {escape(str(workdir))}.",
        highlight=False,
    )


def print_run(metrics: dict, workdir: str, console: Console | None = None):
    """Prints a finished training run.

    Args:
        metrics: what `metrics.json` holds.
        workdir: where it was saved.
        console: where to; the terminal by default.
    """
    console = console or Console()
    print_splits(metrics, console)
    run = metrics["run"]
    model = escape(shlex.quote(str(workdir)))
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
            f'Try it: sentiment predict --model={model} --text="..."',
            title="Run",
            title_align="left",
        )
    )


def print_pretraining(metrics: dict, workdir: str, console: Console | None = None):
    """Prints a finished pre-training run.

    Args:
        metrics: what `metrics.json` holds.
        workdir: where it was saved.
        console: where to; the terminal by default.
    """
    console = console or Console()
    scores, corpus, run = (metrics[name] for name in ("validation", "corpus", "run"))
    workdir = escape(str(workdir))
    reached = f"validation perplexity {scores['perplexity']:.2f}"
    if "bits_per_byte" in scores:
        reached += f", {scores['bits_per_byte']:.4f} bits per byte"
    console.print(
        Panel(
            f"{reached}\n"
            f"{run['num_parameters']:,} parameters, {run['num_updates']:,} updates on "
            f"{corpus['num_train_tokens']:,} tokens, {run['seconds'] / 60:.1f} minutes "
            f"on {run['device']}\n"
            f"Saved in {workdir}\n"
            f"Fine-tune it: sentiment train --preset={workdir}/preset ...",
            title="Language model",
            title_align="left",
        )
    )


def print_samples(texts: list[str], console: Console | None = None):
    """Prints texts that a language model made up."""
    console = console or Console()
    for number, text in enumerate(texts, 1):
        console.print(
            Panel(Text(printable(text)), title=f"Sample {number}", title_align="left")
        )


def print_trials(
    trials: Sequence[TrialResult], monitor: str, console: Console | None = None
):
    """Prints the trials of a search, one a line, the winner's in bold."""
    console = console or Console()
    best = best_of(trials, monitor)
    names = varied(trials)
    table = Table()
    for name in ("trial", f"validation {MONITORS[monitor].title}", *names, ""):
        table.add_column(Text(name), justify="right" if name else "left")
    for trial in trials:
        is_best = trial is best
        table.add_row(
            str(trial.number),
            MONITORS[monitor].text(trial.value),
            *(Text(setting_text(trial.settings.get(name, ""))) for name in names),
            "winner" if is_best else trial.state.replace("complete", ""),
            style="bold" if is_best else None,
        )
    console.print(table)
