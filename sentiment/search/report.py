"""What a search shows: its trials as a table, in pictures and in a line each."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState

from sentiment.config import MONITORS
from sentiment.errors import InputError
from sentiment.evaluation import plots
from sentiment.evaluation.trials import TrialResult, best_of, settings_text

HISTORY_PLOT = "optimization_history.png"
IMPORTANCES_PLOT = "param_importances.png"

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def trial_results(study: optuna.Study, names: Sequence[str]) -> list[TrialResult]:
    """The trials of a study that have begun, by number.

    Args:
        study: what holds them.
        names: of the settings that are varied.
    """
    return [
        TrialResult(
            trial.number,
            STATES[trial.state],
            trial.value,
            {name: trial.params.get(name, "") for name in names},
            trial.user_attrs.get("reason", ""),
            trial.user_attrs.get("seconds", 0.0),
        )
        for trial in study.get_trials(deepcopy=False, states=tuple(STATES))
    ]


def progress(
    trials: Sequence[TrialResult], number: int, num_trials: int, monitor: str
) -> str:
    """How a trial ended, beside the best so far.

    Args:
        trials: all of them, by number.
        number: of the one that has ended.
        num_trials: how many are to be tried.
        monitor: what the search is for, one of `MONITORS`.
    """
    trial, best, shown = trials[number], best_of(trials, monitor), MONITORS[monitor]
    score = shown.text(trial.value)
    outcome = f"{shown.title} {score}" if score else trial.reason
    if trial.state != "complete":
        outcome = f"{trial.state}, {outcome}"
    so_far = ""
    if best:
        so_far = f"; best so far {shown.text(best.value)} (trial {best.number})"
    return (
        f"Trial {number}, one of {num_trials}: {outcome}; "
        f"{settings_text(trial.settings)}{so_far}"
    )


def draw_plots(
    study: optuna.Study, trials: Sequence[TrialResult], monitor: str, folder: Path
):
    """Draws what was tried, and how much each setting matters.

    Raises:
        InputError: the pictures cannot be written, as on a full disk.
    """
    try:
        plots.plot_search(trials, monitor, folder / HISTORY_PLOT)
        values = {trial.value for trial in trials if trial.state == "complete"}
        if len(values) > 1:  # Equal ones do not tell what matters.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that few trials say little
                importances = optuna.importance.get_param_importances(study)
            plots.plot_importances(importances, folder / IMPORTANCES_PLOT)
    except OSError as error:
        raise InputError(
            f"The plots cannot be written: {error}. Make room, and start the same "
            "command again."
        ) from error
