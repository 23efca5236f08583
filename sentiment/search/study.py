"""A search for settings: trials in a database that several processes share.

A trial is one training run, scored on the validation data alone. The winner is then
trained like any other run, and is the only one that the test data score.

A process holds the lock of the folder of the trial that it trains. A trial that is
running, but whose lock is free, is one whose process has ended: the next process that
looks for work goes on with it from its checkpoints, under its number. What is
suggested to a trial follows from the seed, its number and the finished trials, so an
interrupted study of one process tries the same settings as one that never was.
"""

import contextlib
import gc
import json
import logging
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy
from optuna.trial import TrialState

from sentiment.config import MONITORS, Dimension, RunConfig
from sentiment.data.cache import fingerprint
from sentiment.data.datasets import load_splits
from sentiment.errors import InputError
from sentiment.evaluation.trials import (
    TrialResult,
    best_of,
    settings_text,
    trials_table,
)
from sentiment.runs.files import CONFIG_FILE, METRICS_FILE, PLOTS_FOLDER
from sentiment.runs.identity import (
    FORMAT,
    check_same_run,
    defaults_of,
    settings_of,
)
from sentiment.runs.workdir import InUse, Workdir
from sentiment.runtime.outputs import write_whole
from sentiment.runtime.signals import HeldSignal
from sentiment.search.report import draw_plots, progress, trial_results
from sentiment.search.worker import Outcome, train_trial
from sentiment.training.results import TrainingWorkdir
from sentiment.training.train import train_and_evaluate
from sentiment.training.unlabelled_texts import read_unlabelled

STUDY_FILE = "study.db"
TRIALS_FOLDER = "trials"
TRIALS_FILE = "trials.csv"
BEST_FILE = "best.cfg"
BEST_FOLDER = "best"

# So many trials are drawn at random (the first may be the flagfile's own settings), and
# as many must be complete before one is stopped for being worse than their median.
STARTUP_TRIALS = 5
# The first epoch after which that may happen: where there are three, it saves most.
FIRST_PRUNED_EPOCH = 1
# Processes wait so long for each other: for the database, and for what is done in
# turns, which takes less than a second.
LOCK_SECONDS = 120

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StudyResult:
    """How a search went.

    Attributes:
        trials: all of them, by number.
        best: the winner; `None` while none is complete.
        metrics: of the winner's own run, as in its `metrics.json`; `None` where
            another process still works on the study.
    """

    trials: list[TrialResult]
    best: TrialResult | None
    metrics: dict | None


def tune(
    config: RunConfig,
    space: Sequence[Dimension],
    num_trials: int,
    workdir: str | Path,
    overwrite: bool = False,
) -> StudyResult:
    """Searches for settings, and trains with the best ones.

    The folder then holds `study.db`, `trials.csv`, `plots/`, `best.cfg`, a flagfile for
    sentiment train, and the winner's run in `best/`. The same call goes on with a
    study that was interrupted; several processes may make it at once. The last of them
    trains the winner.

    Args:
        config: the settings that trials have in common. Its `monitor` is what the
            search is for. Where the space holds them, they are the first trial.
        space: what is varied, as of `parse_space`; its order decides what is drawn.
        num_trials: trials to run in all, counting those that fail.
        workdir: folder of the study; made if missing.
        overwrite: whether to start anew.

    Raises:
        InputError: anything the user can mend: settings, data, a study of other
            settings or data in `workdir`; or every trial failed.
        SystemExit: the process was asked to leave; the trial's state is saved.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _Study(config, space, num_trials, workdir)
    with study.opened(overwrite):
        study.search()
        return study.finish()


class _Study:
    """One process's part in a study."""

    def __init__(self, config, space, num_trials, workdir):
        self.config, self.space, self.num_trials = config, space, num_trials
        self.monitor = config.training.monitor
        self.folder = Workdir(workdir)
        self.path = self.folder.path
        self.best_folder = TrainingWorkdir(self.path / BEST_FOLDER)

    @contextlib.contextmanager
    def opened(self, overwrite: bool):
        """Makes or loads the study and checks that it is this one."""
        self.folder.prepare(overwrite)
        identity = self._identity()  # Bad data are refused before there is a study.
        file = self.path / STUDY_FILE
        try:
            with self._in_turn():
                if overwrite:
                    self._clear()
                storage = _storage(file)
                self.study = optuna.create_study(
                    storage=storage,
                    study_name="study",
                    direction=f"{MONITORS[self.monitor].mode}imize",
                    pruner=optuna.pruners.MedianPruner(
                        STARTUP_TRIALS, FIRST_PRUNED_EPOCH
                    ),
                    load_if_exists=True,
                )
                if "identity" not in self.study.user_attrs:
                    self.study.set_user_attr("identity", identity)
                old = self.study.user_attrs["identity"]
                check_same_run(old, identity, file, "a study")
            try:
                yield
            finally:
                storage.engine.dispose()
        except (
            sqlalchemy.exc.SQLAlchemyError,
            optuna.exceptions.StorageInternalError,
        ) as error:
            raise InputError(
                f"The study in {file} cannot be read or written: {str(error)[:200]}. "
                "Make room, or give another --workdir on a local disk; if the file is "
                "damaged, --overwrite starts anew."
            ) from error

    def search(self):
        """Trains trials until there are enough, or others train the last ones."""
        while True:
            with contextlib.ExitStack() as stack:
                trial = self._next(stack)
                if trial is None:
                    return
                self._train(trial)
            # A model is full of cycles. Ctrl-C would be lost inside of a collection.
            with HeldSignal(signal.SIGINT):
                gc.collect()

    def finish(self) -> StudyResult:
        """Writes the results and trains the winner, if no other process does."""
        with self._in_turn():
            trials = self._results()
            best = best_of(trials, self.monitor)
            running = [str(t.number) for t in trials if t.state == "running"]
            if running:
                logger.info(
                    f"Trial {', '.join(running)} still runs in another process. The "
                    "last one to finish trains the winner; should it be stopped, the "
                    "same command goes on."
                )
                return StudyResult(trials, best, None)
            if best is None:
                reasons = "\n  ".join(f"{t.number}: {t.reason}" for t in trials)
                raise InputError(
                    f"None of the {len(trials)} trials could be trained. Give another "
                    f"--workdir and other settings or another --space.\n  {reasons}"
                )
            self._write_table(trials)
            draw_plots(self.study, trials, self.monitor, self.path / PLOTS_FOLDER)
            shutil.rmtree(self.path / TRIALS_FOLDER, ignore_errors=True)
        try:
            return StudyResult(trials, best, self._train_winner(best))
        except InUse:
            logger.info(
                f"Another process trains the winner in {self.best_folder.path}."
            )
            return StudyResult(trials, best, None)

    def _in_turn(self):
        """While this holds, no other process looks for work or writes results."""
        return self.folder.locked(LOCK_SECONDS)

    def _identity(self) -> dict:
        config = self.config
        texts = read_unlabelled(config).texts
        splits = load_splits(config.data, config.seed)
        parts = [texts, splits.test_texts, splits.label_names]
        for examples in (splits.train, splits.validation, splits.test):
            if examples is not None:
                labels = np.ascontiguousarray(examples.labels)
                parts += [examples.texts, labels.tobytes()]
        space = {f"space={one.name}": one.values for one in self.space}
        return {
            "format": FORMAT,
            "settings": settings_of(config) | space,
            "defaults": defaults_of(config),
            "data": fingerprint(*parts),
        }

    def _clear(self):
        """Removes what a study has left.

        Raises:
            InUse: another process works on it.
        """
        folders = [*(self.path / TRIALS_FOLDER).glob("*"), self.best_folder.path]
        for folder in filter(Path.is_dir, folders):
            with Workdir(folder).locked():
                pass
        for name in (TRIALS_FOLDER, BEST_FOLDER, PLOTS_FOLDER):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (TRIALS_FILE, BEST_FILE, STUDY_FILE, f"{STUDY_FILE}-journal"):
            (self.path / name).unlink(missing_ok=True)

    # --- Trials

    def _trial_folder(self, number: int) -> Workdir:
        return Workdir(self.path / TRIALS_FOLDER / f"{number:04d}")

    def _next(self, stack: contextlib.ExitStack) -> optuna.Trial | None:
        """A trial to train, whose folder `stack` then holds the lock of."""
        with self._in_turn():
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    with contextlib.suppress(InUse):
                        folder = self._trial_folder(trial.number)
                        stack.enter_context(folder.in_use(overwrite=False))
                        logger.info(
                            f"Trial {trial.number} was interrupted; it goes on."
                        )
                        return self._with_settings(trial.number, trial._trial_id)
            number = sum(trial.state != TrialState.WAITING for trial in trials)
            if number >= self.num_trials:
                return None
            if not trials and (base := self._base()):
                self.study.enqueue_trial(base)
            stack.enter_context(self._trial_folder(number).in_use(overwrite=False))
            return self._with_settings(number)

    def _base(self) -> dict | None:
        """The settings that there are without a search, if the space holds them."""
        base = {}
        for one in self.space:
            groups = (group for group in self.config.groups if hasattr(group, one.name))
            value = base[one.name] = getattr(next(groups), one.name)
            if not one.holds(value):
                return None
        return base

    def _with_settings(self, number: int, trial_id: int | None = None) -> optuna.Trial:
        """A new trial or one that was interrupted, with all its settings."""
        study = self.study
        study.sampler = self._sampler(number, 0)
        trial = study.ask() if trial_id is None else optuna.Trial(study, trial_id)
        if len(trial.params) < len(self.space):
            _ = trial.relative_params  # draws now what is drawn jointly
        for i, one in enumerate(self.space, 1):
            # One draw does not depend on whether another was made already.
            study.sampler = self._sampler(number, i)
            if one.choices:
                trial.suggest_categorical(one.name, one.choices)
            elif isinstance(one.low, int):
                trial.suggest_int(one.name, one.low, one.high, log=one.is_log)
            else:
                trial.suggest_float(one.name, one.low, one.high, log=one.is_log)
        return trial

    def _sampler(self, *parts: int) -> optuna.samplers.BaseSampler:
        state = np.random.SeedSequence([self.config.seed, *parts]).generate_state(1)
        return optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, constant_liar=True, seed=int(state[0])
        )

    def _train(self, trial: optuna.Trial):
        """Trains a trial and enters what became of it.

        Raises:
            InputError: it is refused, and no other trial has worked yet, so that it is
                not its settings alone.
        """
        logger.info(f"Trial {trial.number}: {settings_text(trial.params)}")
        started = time.monotonic()
        folder = self._trial_folder(trial.number)
        outcome = train_trial(self.config, trial, folder.checkpoints)
        with self._in_turn():
            trials = self._enter(trial, outcome, time.monotonic() - started)
            shutil.rmtree(folder.path, ignore_errors=True)
        logger.info(progress(trials, trial.number, self.num_trials, self.monitor))
        has_worked = any(trial.state in ("complete", "pruned") for trial in trials)
        if outcome.error and not has_worked:
            raise outcome.error

    def _enter(
        self, trial: optuna.Trial, outcome: Outcome, seconds: float
    ) -> list[TrialResult]:
        """Writes the end of a trial to the database; all trials then."""
        trial.set_user_attr("reason", outcome.reason)
        trial.set_user_attr("seconds", round(seconds, 1))
        self.study.tell(trial, outcome.value, outcome.state)
        trials = self._results()
        self._write_table(trials)
        return trials

    def _results(self) -> list[TrialResult]:
        return trial_results(self.study, [one.name for one in self.space])

    # --- Results

    def _write_table(self, trials: list[TrialResult]):
        write_whole(self.path / TRIALS_FILE, trials_table(trials, self.monitor))

    def _train_winner(self, best: TrialResult) -> dict:
        """Trains the winner like any other run; its metrics.

        Raises:
            InUse: another process does.
            InputError: see `train_and_evaluate`.
        """
        config = self.config.replaced(**best.settings)
        text = config.to_flagfile()
        folder = self.best_folder
        folder.path.mkdir(exist_ok=True)
        with folder.locked():
            if _read(self.path / BEST_FILE) != text:
                # What an earlier winner was to go on from.
                shutil.rmtree(folder.checkpoints, ignore_errors=True)
                write_whole(self.path / BEST_FILE, text)
            metrics = _read(folder.path / METRICS_FILE)
            if metrics and _read(folder.path / CONFIG_FILE) == text:
                return json.loads(metrics)
            is_begun = folder.is_begun
        if metrics:
            logger.info("There is a new winner; it replaces that of the fewer trials.")
        logger.info(f"Training the winner, trial {best.number}.")
        overwrite = bool(metrics) and not is_begun
        return train_and_evaluate(config, folder.path, overwrite).metrics


def _storage(file: Path) -> optuna.storages.RDBStorage:
    url = sqlalchemy.URL.create("sqlite", database=str(file.absolute()))
    text = url.render_as_string().replace("{", "{{").replace("}", "}}")
    # No write-ahead log, which network drives lack: an epoch is one write.
    return optuna.storages.RDBStorage(
        text, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
