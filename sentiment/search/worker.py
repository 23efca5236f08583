"""Training one trial of a search, and what became of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from sentiment.config import MONITORS, RunConfig
from sentiment.errors import InputError, StorageError, is_out_of_memory
from sentiment.runs.workdir import InUse
from sentiment.training.callbacks import Diverged
from sentiment.training.train import train_and_validate


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a trial.

    Attributes:
        state: complete, pruned or failed.
        value: the monitored validation score of a complete one.
        reason: why it failed.
        error: what training was refused with, where another trial may be refused, too.
    """

    state: TrialState
    value: float | None = None
    reason: str = ""
    error: InputError | None = None


def train_trial(config: RunConfig, trial: optuna.Trial, checkpoints: Path) -> Outcome:
    """Trains with a trial's settings, and stops early if it is below the median.

    Args:
        config: the settings that trials have in common.
        trial: with its own settings; scores are reported to it.
        checkpoints: folder that an interrupted trial goes on from.

    Raises:
        StorageError: something cannot be written, whatever the settings.
        InUse: likewise, another process works in a folder.
        SystemExit: the process was asked to leave; the trial's state is saved.
    """
    try:
        run = config.replaced(**trial.params)
    except InputError as error:  # Settings that do not go together.
        return _failed(str(error))
    try:
        metrics = train_and_validate(run, checkpoints, _reporting_to(trial))
    except optuna.TrialPruned:
        return Outcome(TrialState.PRUNED)
    except (StorageError, InUse):
        raise
    except Diverged as error:
        return _failed(str(error))
    except InputError as error:
        return _failed(str(error), error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return _failed("Out of memory.")
    monitor = config.training.monitor
    value = metrics[monitor]
    if not math.isfinite(value):
        return _failed(f"The validation {MONITORS[monitor].title} is no number.")
    return Outcome(TrialState.COMPLETE, value)


def _failed(reason: str, error: InputError | None = None) -> Outcome:
    return Outcome(TrialState.FAIL, reason=reason, error=error)


def _reporting_to(trial: optuna.Trial) -> Callable[[int, float], None]:
    """What hands each epoch's score on, once, and stops a trial that is too bad."""
    reported = set(trial.study.trials[trial.number].intermediate_values)

    def on_epoch(epoch: int, value: float):
        if epoch not in reported:
            trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return on_epoch
