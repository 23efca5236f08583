import optuna
import pytest
from optuna.trial import TrialState

from sentiment.errors import InputError
from sentiment.evaluation import plots
from sentiment.evaluation.trials import TrialResult
from sentiment.search.report import draw_plots, progress, trial_results

TRIALS = [
    TrialResult(0, "complete", 0.5, {"dropout": 0.25}),
    TrialResult(1, "failed", None, {"dropout": 0.125}, "Out of memory."),
    TrialResult(2, "pruned", 0.25, {"dropout": 0.5}),
    TrialResult(3, "complete", 0.75, {"dropout": 0.0625}),
]


@pytest.fixture
def study():
    study = optuna.create_study(direction="maximize")
    for dropout, value in ((0.25, 0.5), (0.5, 0.75), (0.125, None)):
        trial = study.ask()
        trial.suggest_float("dropout", dropout, dropout + 1e-9)
        trial.set_user_attr("seconds", 2.5)
        if value is None:
            trial.set_user_attr("reason", "Out of memory.")
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, value)
    study.ask()
    study.enqueue_trial({"dropout": 0.0})  # has not begun
    return study


def test_all_trials_that_have_begun_are_listed(study):
    trials = trial_results(study, ["dropout"])
    assert [(t.number, t.state, t.value) for t in trials] == [
        (0, "complete", 0.5),
        (1, "complete", 0.75),
        (2, "failed", None),
        (3, "running", None),
    ]
    assert [t.reason for t in trials] == ["", "", "Out of memory.", ""]
    assert [t.seconds for t in trials] == [2.5, 2.5, 2.5, 0.0]
    assert trials[1].settings == {"dropout": pytest.approx(0.5)}
    assert trials[3].settings == {"dropout": ""}


@pytest.mark.parametrize(
    ("number", "trials", "line"),
    [
        (
            0,
            TRIALS[:1],
            "Trial 0, one of 9: accuracy 50.00%; dropout=0.25; "
            "best so far 50.00% (trial 0)",
        ),
        (
            2,
            TRIALS,
            "Trial 2, one of 9: pruned, accuracy 25.00%; dropout=0.5; "
            "best so far 75.00% (trial 3)",
        ),
        (
            1,
            TRIALS,
            "Trial 1, one of 9: failed, Out of memory.; dropout=0.125; "
            "best so far 75.00% (trial 3)",
        ),
    ],
)
def test_the_line_of_a_trial(number, trials, line):
    assert progress(trials, number, 9, "accuracy") == line


def test_without_a_complete_trial_there_is_no_best():
    (failed,) = [TrialResult(0, "failed", None, {"epochs": 2}, "No.")]
    expected = "Trial 0, one of 9: failed, No.; epochs=2"
    assert progress([failed], 0, 9, "loss") == expected


def test_importances_are_drawn_of_scores_that_differ(study, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "plot_search", lambda *_: drawn.append("search"))
    monkeypatch.setattr(
        plots, "plot_importances", lambda values, _: drawn.append(dict(values))
    )
    draw_plots(study, TRIALS, "accuracy", tmp_path)
    draw_plots(study, TRIALS[:3], "accuracy", tmp_path)
    assert drawn == ["search", {"dropout": 1.0}, "search"]


def test_pictures_that_cannot_be_written_are_an_input_error(
    study, tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(plots, "plot_search", fail)
    with pytest.raises(InputError, match=r"cannot be written: disk full\. Make room"):
        draw_plots(study, TRIALS, "accuracy", tmp_path)
