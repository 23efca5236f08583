import functools
import itertools
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy

from sentiment.cli import main as cli
from sentiment.config import (
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
    parse_space,
)
from sentiment.errors import InputError, StorageError
from sentiment.runs.workdir import Workdir
from sentiment.search import study as tuning
from sentiment.search import worker
from sentiment.search.study import tune
from sentiment.training import train
from sentiment.training.callbacks import Diverged
from sentiment.training.results import TrainingWorkdir
from tests.conftest import FreshProcess, wait_for
from tests.training.conftest import MODEL

SPACE = ("learning_rate=0.001:0.1:log", "dropout=0.0:0.4", "epochs=2:4")
REAL_SPACE = ("learning_rate=0.003:0.03:log", "dropout=0.0:0.3")


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_data):
    folder = tmp_path_factory.mktemp("reviews")
    return RunConfig(
        write_data(folder, 60, 16),
        ModelConfig(**MODEL),
        TrainingConfig(
            batch_size=3,
            row_length=24,
            epochs=2,
            learning_rate=0.03,
            checkpoint_every=3,
        ),
        SpeedConfig(cache_dir=str(folder / "cache")),  # shared by all that trains,
    )


@pytest.fixture
def search(config, tmp_path):
    """Goes on with one study."""

    def go_on(trials=7, space=SPACE, overwrite=False, workdir=tmp_path, **settings):
        run = config.replaced(**settings)
        return tune(run, parse_space(space, run), trials, workdir, overwrite)

    return go_on


def score(config):
    """Of a fake trial: the nearer the rate is to 0.01, the better."""
    return 1 / (1 + abs(config.training.learning_rate - 0.01))


@pytest.fixture
def fake(monkeypatch):
    """Trains nothing; a trial's scores follow from its settings alone.

    `before` may be set to what is done before a trial, `winner` before the winner.
    """
    made = SimpleNamespace(
        trials=[], winners=[], before=lambda: None, winner=lambda folder: None
    )

    def validate(config, checkpoints, report):
        made.trials.append(config)
        made.before()
        for epoch in range(1, config.training.epochs + 1):
            report(epoch, score(config) - 0.1 / epoch)
        return {name: score(config) for name in ("accuracy", "macro_f1", "loss")}

    def evaluate(config, workdir, overwrite):
        with TrainingWorkdir(workdir).in_use(overwrite) as folder:
            made.winner(folder)
            made.winners.append(config)
            folder.clear_staging()
            folder.write_config_and_metrics(config, {"score": score(config)})
            folder.publish()
        return SimpleNamespace(metrics={"score": score(config)})

    def unsynced(file):  # Waiting for the disk is most of the time.
        storage = open_storage(file)
        sqlalchemy.event.listen(
            storage.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF")
        )
        storage.engine.dispose()
        return storage

    open_storage = tuning._storage
    monkeypatch.setattr(tuning, "_storage", unsynced)
    monkeypatch.setattr(tuning, "gc", SimpleNamespace(collect=lambda: None))
    monkeypatch.setattr(worker, "train_and_validate", validate)
    monkeypatch.setattr(tuning, "train_and_evaluate", evaluate)
    return made


def raises(error, times=1, after=0):
    """Raises `error` so many times, from a later call on."""
    calls = iter([False] * after + [True] * times)

    def act(*_):
        if next(calls, False):
            raise error

    return act


# --- Which settings are tried


def test_the_first_trial_is_the_settings_that_are_there_if_the_space_holds_them(
    fake, search, config, tmp_path
):
    search(1)
    assert fake.trials == [config.replaced(dropout=0.1)]
    search(1, ["learning_rate=0.1:0.2"], workdir=tmp_path / "other")
    assert 0.1 <= fake.trials[1].training.learning_rate <= 0.2


def test_values_are_of_their_kind_and_within_the_space(fake, search):
    space = [
        "learning_rate=0.001:0.1:log",
        "epochs=1:3",
        "pooling=last|mean",
        "packing=true|false",
        "batch_size=2|4|16",
    ]
    trials = search(10, space).trials
    for trial in trials:
        found = trial.settings
        assert 0.001 <= found["learning_rate"] <= 0.1
        assert type(found["epochs"]) is int and 1 <= found["epochs"] <= 3
        assert found["pooling"] in ("last", "mean")
        assert type(found["packing"]) is bool
        assert type(found["batch_size"]) is int and found["batch_size"] in (2, 4, 16)
    for name in found:
        assert len({trial.settings[name] for trial in trials}) > 1


def test_the_same_seed_tries_the_same_whatever_the_order_of_the_space(
    fake, search, tmp_path
):
    one = search(8)
    two = search(8, SPACE[::-1], workdir=tmp_path / "two")
    other = search(8, workdir=tmp_path / "other", seed=1)
    assert one.trials == two.trials
    assert one.trials[1:] != other.trials[1:]


def test_the_search_comes_closer_to_the_best_than_its_random_start(fake, search):
    search(30, ["learning_rate=0.0001:10:log"])
    scores = [score(run) for run in fake.trials[1:]]  # without what was there before
    start = tuning.STARTUP_TRIALS
    assert sum(scores[-10:]) / 10 > sum(scores[:start]) / start


# --- Interruptions


@pytest.mark.parametrize("after", [0, 2, 6])
def test_an_interrupted_study_tries_what_a_whole_one_does(
    fake, search, tmp_path, after
):
    whole = search(8, workdir=tmp_path / "whole")
    fake.before = raises(KeyboardInterrupt, after=after)
    with pytest.raises(KeyboardInterrupt):
        search(8)
    again = search(8)
    assert again.trials == whole.trials
    assert len(fake.trials) == 8 + 8 + 1
    assert again.metrics == whole.metrics


@pytest.mark.parametrize("after", [3, 4, 13])  # calls; two for each trial
def test_interrupted_while_a_trial_is_drawn_it_is_drawn_as_in_a_whole_study(
    fake, search, tmp_path, monkeypatch, after
):
    whole = search(8, workdir=tmp_path / "whole")
    stop = raises(KeyboardInterrupt, after=after)
    suggest = optuna.Trial.suggest_float

    def stopping(*arguments, **options):
        stop()
        return suggest(*arguments, **options)

    monkeypatch.setattr(optuna.Trial, "suggest_float", stopping)
    with pytest.raises(KeyboardInterrupt):
        search(8)
    assert search(8).trials == whole.trials


def test_more_trials_go_on_and_a_finished_study_trains_nothing(fake, search, logged):
    first = search(3)
    again = search(3)
    assert (again.trials, again.metrics) == (first.trials, first.metrics)
    assert (len(fake.trials), len(fake.winners)) == (3, 1)
    assert search(5).trials[:3] == first.trials
    assert len(fake.trials) == 5
    assert len(search(2).trials) == 5


def test_a_study_begun_before_a_setting_was_there_goes_on(fake, search, monkeypatch):
    settings_of = tuning.settings_of

    def without_encoding(config):
        settings = settings_of(config)
        del settings["encoding"]
        return settings

    with monkeypatch.context() as before:
        before.setattr(tuning, "settings_of", without_encoding)
        before.setattr(tuning, "defaults_of", lambda config: {})
        search(1)
    assert len(search(2).trials) == 2


def test_a_trial_that_another_process_trains_is_left_to_it(
    fake, search, tmp_path, logged
):
    fake.before = raises(KeyboardInterrupt, after=1)
    with pytest.raises(KeyboardInterrupt):
        search(3)
    with Workdir(tmp_path / "trials" / "0001").locked():
        result = search(3)
    assert [trial.state for trial in result.trials] == [
        "complete",
        "running",
        "complete",
    ]
    assert result.metrics is None
    assert "Trial 1 still runs in another process" in logged.text
    assert not fake.winners
    result = search(3)
    assert "Trial 1 was interrupted; it goes on." in logged.text
    assert [trial.state for trial in result.trials] == ["complete"] * 3
    assert result.metrics


def test_changed_settings_space_and_data_are_refused_by_name(
    fake, search, config, tmp_path
):
    path = tmp_path / "train.csv"
    text = Path(config.data.train_file).read_text()
    path.write_text(text)
    search(1, train_file=str(path))
    changed = {"batch_size": 4, "space": SPACE[:2], "train_file": str(path)}
    with pytest.raises(InputError) as refused:
        search(2, **changed)
    assert "--batch_size: 3 then, 4 now" in str(refused.value)
    assert "--space=epochs: 2:4 then, None now" in str(refused.value)
    path.write_text(text.replace("great", "grand"))
    with pytest.raises(InputError, match="the data have changed"):
        search(2, train_file=str(path))
    assert len(fake.trials) == 1
    assert len(search(2, overwrite=True, **changed).trials) == 2


def test_overwrite_is_refused_while_another_process_works(fake, search, tmp_path):
    fake.before = raises(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        search(1)
    with (
        Workdir(tmp_path / "trials" / "0000").locked(),
        pytest.raises(InputError, match="Another process works in"),
    ):
        search(1, overwrite=True)
    assert search(1).metrics


def test_a_file_that_is_no_database_is_named(fake, search, tmp_path):
    (tmp_path / "study.db").write_text("This is no database, but long enough." * 99)
    with pytest.raises(InputError, match=r"study\.db cannot be read or written"):
        search()


# --- How trials end


def test_a_trial_below_the_median_is_stopped_after_the_first_epoch(fake, search):
    trials = search(12).trials
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.number >= tuning.STARTUP_TRIALS
        run = fake.trials[trial.number]
        assert trial.value == pytest.approx(score(run) - 0.1)  # of epoch 1
    complete = [trial.value for trial in trials if trial.state == "complete"]
    assert min(complete) < max(trial.value + 0.1 for trial in pruned) < max(complete)


def test_a_loss_that_diverges_fails_the_trial_and_no_other(fake, search, tmp_path):
    fake.before = raises(Diverged("The loss became nan.", float("nan"), range(1)))
    trials = search(3).trials
    assert [trial.state for trial in trials] == ["failed", "complete", "complete"]
    assert trials[0].reason == "The loss became nan."
    assert "The loss became nan." in (tmp_path / "trials.csv").read_text()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Diverged("The loss became nan.", float("nan"), range(1)), "became nan"),
        (MemoryError(), "Out of memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 bytes"), "Out of memory"),
    ],
)
def test_that_all_trials_failed_is_said_with_the_reasons(fake, search, error, reason):
    fake.before = raises(error, times=2)
    with pytest.raises(InputError, match=rf"None of the 2 trials(.|\n)*1: .*{reason}"):
        search(2)
    assert not fake.winners


def test_values_that_cannot_be_trained_fail_their_trial(fake, search):
    fake.before = raises(InputError("--row_length is too short."), after=1)
    trials = search(3).trials
    assert [trial.state for trial in trials] == ["complete", "failed", "complete"]
    assert trials[1].reason == "--row_length is too short."


def test_what_cannot_be_trained_from_the_start_stops_the_study(fake, search):
    fake.before = raises(InputError("--row_length is too short."))
    with pytest.raises(InputError, match="--row_length is too short"):
        search(3)
    assert not fake.winners


def test_another_error_stops_the_study_and_the_trial_goes_on_later(fake, search):
    fake.before = raises(StorageError("The disk is full."), after=1)
    with pytest.raises(InputError, match="The disk is full"):
        search(3)
    assert [trial.state for trial in search(3).trials] == ["complete"] * 3
    fake.before = raises(ValueError("a defect"))
    with pytest.raises(ValueError, match="a defect"):
        search(4)


def test_settings_that_do_not_go_together_fail_their_trial(fake, search):
    space = ["hidden_dim=16|24", "num_heads=2|3"]
    trials = search(12, space, hidden_dim=24).trials
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    for trial in failed:
        assert trial.settings == {"hidden_dim": 16, "num_heads": 3}
        assert "multiple of --num_heads" in trial.reason
    assert len(fake.trials) == 12 - len(failed)


# --- The winner


@pytest.mark.parametrize("monitor", ["accuracy", "macro_f1", "loss"])
def test_the_winner_has_the_best_monitored_score(fake, search, monitor):
    result = search(6, monitor=monitor)
    values = [trial.value for trial in result.trials if trial.state == "complete"]
    best = (min if monitor == "loss" else max)(values)
    assert result.best.value == best
    assert result.metrics["score"] == best


def test_best_cfg_repeats_the_winners_run(fake, search, config, tmp_path):
    result = search(4)
    flagfile = f"--flagfile={tmp_path / 'best.cfg'}"
    run = cli.parse("train", [flagfile, "--workdir=w"]).run
    assert [run] == fake.winners == [config.replaced(**result.best.settings)]


def test_a_winner_that_was_interrupted_goes_on_and_another_begins_anew(
    fake, search, tmp_path
):
    seen = []

    def interrupted(folder):
        seen.append(folder.is_begun)
        (folder.checkpoints / "1").mkdir(parents=True, exist_ok=True)
        if len(seen) in (1, 3):
            raise KeyboardInterrupt

    fake.winner = interrupted
    with pytest.raises(KeyboardInterrupt):
        search(1)
    first = search(1)
    assert seen == [False, True]
    # With more trials another one wins, first interrupted, too.
    with pytest.raises(KeyboardInterrupt):
        search(8)
    assert search(8).best.number != first.best.number
    assert seen == [False, True, False, True]
    metrics = json.loads((tmp_path / "best" / "metrics.json").read_text())
    assert metrics["score"] == score(fake.winners[-1]) > score(fake.winners[0])


def test_a_winner_that_never_finished_leaves_nothing_to_the_next(fake, search):
    seen = []

    def interrupted(folder):
        seen.append(folder.is_begun)
        (folder.checkpoints / "1").mkdir(parents=True)
        if len(seen) == 1:
            raise KeyboardInterrupt

    fake.winner = interrupted
    with pytest.raises(KeyboardInterrupt):
        search(1)
    assert search(8).best.number > 0
    assert seen == [False, False]


def test_one_process_trains_the_winner(fake, search, tmp_path, logged):
    fake.winner = raises(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        search(2)
    with Workdir(tmp_path / "best").locked():
        assert search(2).metrics is None
    assert "Another process trains the winner" in logged.text
    assert search(2).metrics


# --- With real training


@pytest.fixture(scope="module")
def real(config):
    """Few scores are equal if they are losses."""
    return config.replaced(monitor="loss")


@pytest.fixture(scope="module")
def whole(real, tmp_path_factory):
    """A study that was never interrupted, and how many examples were scored when."""
    workdir = tmp_path_factory.mktemp("whole")
    scored = []
    evaluate = train.evaluate_encoded

    def counting(classifier, examples, *rest):
        scored.append(len(examples.labels))
        return evaluate(classifier, examples, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "evaluate_encoded", counting)
        result = tune(real, parse_space(REAL_SPACE, real), 2, workdir)
    return SimpleNamespace(workdir=workdir, result=result, scored=scored)


def test_only_the_winner_scores_the_test_data(whole):
    # 18 are validated on in each trial and by the winner, who scores the test last.
    assert whole.scored == [18] * 3 + [16]


def test_what_a_study_leaves(whole):
    names = {path.name for path in whole.workdir.iterdir()}
    # The trials' own folders are gone.
    assert names == {"study.db", "trials.csv", "plots", "best.cfg", "best", ".lock"}
    assert {path.name for path in (whole.workdir / "plots").iterdir()} == {
        "optimization_history.png",
        "param_importances.png",
    }
    assert len((whole.workdir / "trials.csv").read_text().splitlines()) == 1 + 2
    assert (whole.workdir / "best" / "model.keras").is_file()


def test_the_winners_own_run_scores_what_its_trial_did(whole):
    result = whole.result
    assert result.best.value == min(trial.value for trial in result.trials)
    assert result.metrics["validation"]["loss"] == result.best.value
    saved = json.loads((whole.workdir / "best" / "metrics.json").read_text())
    assert saved == result.metrics


def test_sigterm_saves_the_trial_and_the_study_ends_like_the_whole_one(
    real, whole, tmp_path, monkeypatch, logged
):
    updates = itertools.count(1)
    moment = whole.result.metrics["run"]["num_updates"] + 2  # the second trial's second

    def on_update(_):
        if next(updates) == moment:
            signal.raise_signal(signal.SIGTERM)

    space = parse_space(REAL_SPACE, real)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
        asked = functools.partial(train.train_and_validate, on_update=on_update)
        patch.setattr(worker, "train_and_validate", asked)
        tune(real, space, 2, tmp_path)
    assert left.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "trials" / "0001" / "checkpoints" / "2").is_dir()
    logged.clear()
    result = tune(real, space, 2, tmp_path)
    assert "Going on after update 2." in logged.text
    assert result.trials == whole.result.trials
    assert result.metrics["test"] == whole.result.metrics["test"]


def tune_beside(act, arguments):
    """Runs the command, and `act` with the updates made in every trial."""
    validate = functools.partial(train.train_and_validate, on_update=act)
    worker.train_and_validate = validate
    cli.main(["tune", *arguments])


def die_beside(begun, other_begun, done):
    """The process ends by SIGKILL at update 5, while another one trains."""
    begun.touch()
    if done == 5:
        wait_for(other_begun)
        os.kill(os.getpid(), signal.SIGKILL)


def outlive(begun, other_ended, done):
    """Goes on when another process, which has trained meanwhile, has ended."""
    begun.touch()
    wait_for(other_ended)


def test_two_processes_share_a_study_and_one_outlives_the_other(real, tmp_path):
    flagfile = tmp_path / "base.cfg"
    flagfile.write_text(real.to_flagfile())
    workdir, space = tmp_path / "study", parse_space(REAL_SPACE, real)
    arguments = [
        f"--flagfile={flagfile}",
        "--trials=2",
        *(f"--space={text}" for text in REAL_SPACE),
        f"--workdir={workdir}",
    ]
    one, other, ended = (tmp_path / name for name in ("one", "other", "ended"))
    dying = functools.partial(die_beside, one, other)
    killed = FreshProcess(tune_beside, dying, arguments)
    wait_for(one)
    outliving = functools.partial(outlive, other, ended)
    alive = FreshProcess(tune_beside, outliving, arguments)
    printed = killed.wait()
    assert killed.status == -signal.SIGKILL, printed
    ended.touch()
    printed = alive.wait()
    assert alive.status == 0, printed
    assert "was interrupted; it goes on." in printed
    assert "Going on after update" in printed
    assert "Test: accuracy" in printed
    result = tune(real, space, 2, workdir)
    assert [trial.number for trial in result.trials] == [0, 1]
    assert {trial.state for trial in result.trials} == {"complete"}
    assert result.metrics["validation"]["loss"] == result.best.value


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_inside_of_a_collection_is_not_lost(
    fake, search, monkeypatch, times
):
    """It would be in a finalizer, whose errors are printed and forgotten."""
    collected = []

    def collect():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        collected.append(len(fake.trials))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(tuning, "gc", SimpleNamespace(collect=collect))
            search(3)
    finally:
        signal.signal(signal.SIGINT, before)
    assert collected == [1]  # It came to its end.
    assert [trial.state for trial in search(3).trials] == ["complete"] * 3
