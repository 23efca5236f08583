"""What a run logged, as a table."""

import csv
from pathlib import Path


def write_history(history: dict[str, list[float]], path: str | Path):
    """Writes a history as CSV, one line per epoch or validation.

    Args:
        history: one list of values per logged name, all of one length.
        path: of the file.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(history)
        writer.writerows(zip(*history.values(), strict=True))
