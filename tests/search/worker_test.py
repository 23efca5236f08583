import warnings

import optuna
import pytest
from optuna.trial import TrialState

from sentiment.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from sentiment.errors import InputError, StorageError
from sentiment.runs.workdir import InUse
from sentiment.search import worker
from sentiment.search.worker import train_trial
from sentiment.training.callbacks import Diverged

CONFIG = RunConfig(
    DataConfig(train_file="a.csv"), ModelConfig(), TrainingConfig(monitor="macro_f1")
)


@pytest.fixture
def trial():
    study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    trial = study.ask()
    trial.suggest_float("learning_rate", 0.25, 0.25)
    return trial


@pytest.fixture
def train(monkeypatch, trial, tmp_path):
    """Trains a trial; `act` is called with its epochs' reporter instead of training."""

    def train(act, config=CONFIG):
        received = []

        def validate(run, checkpoints, on_epoch):
            received.append((run, checkpoints))
            return act(on_epoch)

        monkeypatch.setattr(worker, "train_and_validate", validate)
        outcome = train_trial(config, trial, tmp_path)
        assert received == [(config.replaced(learning_rate=0.25), tmp_path)]
        return outcome

    return train


def raising(error):
    def act(_):
        raise error

    return act


def test_the_monitored_score_is_that_of_the_trial(train):
    outcome = train(lambda _: {"accuracy": 0.5, "macro_f1": 0.75, "loss": 1.0})
    assert (outcome.state, outcome.value) == (TrialState.COMPLETE, 0.75)
    assert (outcome.reason, outcome.error) == ("", None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_fails_the_trial(train, value):
    outcome = train(lambda _: {"macro_f1": value})
    assert (outcome.state, outcome.value) == (TrialState.FAIL, None)
    assert outcome.reason == "The validation macro-F1 is no number."


@pytest.mark.parametrize(
    ("error", "reason", "is_refused"),
    [
        (Diverged("The loss became nan.", float("nan"), range(1)), "The loss", False),
        (InputError("No such file."), "No such file.", True),
        (MemoryError(), "Out of memory.", False),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 bytes"), "Out of memory.", False),
    ],
)
def test_what_fails_says_why(train, error, reason, is_refused):
    outcome = train(raising(error))
    assert outcome.state == TrialState.FAIL
    assert outcome.reason.startswith(reason)
    assert outcome.error is (error if is_refused else None)


@pytest.mark.parametrize(
    "error", [StorageError("full"), InUse("busy"), ValueError("a defect"), SystemExit()]
)
def test_what_is_not_the_trials_fault_gets_out(train, error):
    with pytest.raises(type(error)) as raised:
        train(raising(error))
    assert raised.value is error


def test_settings_that_do_not_go_together_are_not_trained(trial, monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "train_and_validate", lambda *_: pytest.fail("trained"))
    trial.suggest_int("hidden_dim", 13, 13)
    outcome = train_trial(CONFIG, trial, tmp_path)
    assert (outcome.state, outcome.error) == (TrialState.FAIL, None)
    assert "multiple of --num_heads" in outcome.reason


def test_each_epoch_is_reported_once_also_by_a_trial_that_goes_on(train, trial):
    trial.report(0.5, 1)

    def act(on_epoch):
        on_epoch(1, 0.5)
        on_epoch(2, 0.25)
        return {"macro_f1": 0.5}

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns of a second report.
        train(act)
    (stored,) = trial.study.trials
    assert stored.intermediate_values == {1: 0.5, 2: 0.25}


def test_a_trial_that_is_too_bad_is_stopped_after_its_report(train, trial, monkeypatch):
    told = []

    def act(on_epoch):
        for epoch in (1, 2, 3):
            told.append(epoch)
            on_epoch(epoch, 0.5)

    monkeypatch.setattr(optuna.Trial, "should_prune", lambda self: len(told) == 2)
    assert train(act).state == TrialState.PRUNED
    assert told == [1, 2]
    assert list(trial.study.trials[0].intermediate_values) == [1, 2]
