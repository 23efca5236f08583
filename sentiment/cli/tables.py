"""Predictions as a person likes to read them."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sentiment.inference.rows import EMPTY_NOTE
from sentiment.runtime.printable import printable

SHOWN_CHARACTERS = 200
NARROWEST = 60  # columns of the terminal


def print_predictions(
    texts: Sequence[str],
    predictions: Sequence[dict[str, object]],
    console: Console | None = None,
):
    """Prints a table of texts with label and probabilities.

    Args:
        texts: raw texts.
        predictions: of each, as of `label_rows`.
        console: where to; the terminal by default.
    """
    table = Table()
    # Text, for rich reads [markup] and :emoji: in a string.
    table.add_column("text", overflow="fold")
    for name in ("label", *predictions[0]["probabilities"]):
        table.add_column(Text(printable(name)), no_wrap=True)  # The text gives way.
    for text, row in zip(texts, predictions, strict=True):
        is_long = len(text) > SHOWN_CHARACTERS
        shown = f"{text[:SHOWN_CHARACTERS]}…" if is_long else text
        label = f"({EMPTY_NOTE})" if row["is_empty"] else row["label"]
        probabilities = row["probabilities"].values()
        values = ("" if value is None else f"{value:.3f}" for value in probabilities)
        table.add_row(*(Text(printable(cell)) for cell in (shown, label)), *values)
    console = console or Console()
    console.width = max(console.width, NARROWEST)
    console.print(table)
