"""What the trials of a search scored."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from sentiment.config import MONITORS
from sentiment.config.settings import written


@dataclass(frozen=True)
class TrialResult:
    """One try of some settings.

    Attributes:
        number: from 0.
        state: `complete`, `pruned`, `failed` or `running`.
        value: the monitored validation score; a pruned trial's is that of its last
            epoch; `None` where there is none.
        settings: what was varied.
        reason: why it failed.
        seconds: that its last process spent on it.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, bool | int | float | str]
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)


def best_of(trials: Sequence[TrialResult], monitor: str) -> TrialResult | None:
    """The complete trial with the best score, the earliest of equal ones."""
    complete = [trial for trial in trials if trial.state == "complete"]
    sign = 1 if MONITORS[monitor].mode == "min" else -1
    return min(complete, key=lambda trial: sign * trial.value, default=None)


def varied(trials: Sequence[TrialResult]) -> list[str]:
    """Names of all settings of the trials, in the order of their appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.settings))


def settings_text(settings: dict) -> str:
    """Settings in one line."""
    return ", ".join(f"{name}={setting_text(x)}" for name, x in settings.items())


def setting_text(value) -> str:
    """A value of a setting, rounded."""
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def trials_table(trials: Sequence[TrialResult], monitor: str) -> str:
    """The trials as CSV, one a line."""
    names = varied(trials)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["number", "state", monitor, *names, "seconds", "reason"])
    for trial in trials:
        values = (trial.settings.get(name, "") for name in names)
        value = "" if trial.value is None else trial.value
        writer.writerow(
            [trial.number, trial.state, value, *values, trial.seconds, trial.reason]
        )
    return table.getvalue()
