import pytest

from sentiment.cli import main as cli
from sentiment.errors import InputError
from tests.conftest import FreshProcess, call_fresh


@pytest.fixture(scope="module")
def runs(tmp_path_factory, files):
    from sentiment.baselines.run import run_baseline

    made = []
    for method in ("majority", "nb_svm"):
        workdir = tmp_path_factory.mktemp("runs") / method
        command = cli.parse(
            "baseline", [*files.flags, f"--method={method}", f"--workdir={workdir}"]
        )
        run_baseline(command.run, command.workdir)
        made.append(workdir)
    return made


def test_baseline_saves_and_prints(files, tmp_path):
    workdir = f"--workdir={tmp_path / 'a'}"
    command = ["baseline", *files.flags, "--method=lexicon", workdir]
    assert "Test: accuracy" in call_fresh(cli.main, command)
    assert (tmp_path / "a" / "metrics.json").is_file()


def test_a_training_run_compares_with_a_baseline(runs, trained, tmp_path):
    chart, paths = tmp_path / "chart.png", (*runs, trained.workdir)
    command = ["compare", *map(str, paths), f"--output={chart}"]
    printed = call_fresh(cli.main, command, env={"COLUMNS": "150"})
    assert "95%" in printed
    for path in paths:
        assert path.name in printed
    assert chart.stat().st_size > 5000
    again = FreshProcess(cli.main, ["compare", *map(str, runs), f"--output={chart}"])
    assert "--overwrite" in again.wait()
    assert again.status == 2


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", "a")])
def test_fewer_than_two_runs_are_refused(arguments):
    with pytest.raises(InputError, match="at least two different runs"):
        cli.parse("compare", [*arguments])


def test_seed_reaches_the_resamples(monkeypatch, runs, capsys):
    from sentiment.evaluation import comparison

    seeds, compare = [], comparison.compare

    def watching(predictions, seed):
        seeds.append(seed)
        return compare(predictions, seed)

    monkeypatch.setattr(comparison, "compare", watching)
    cli.main(["compare", *map(str, runs), "--seed=7"])
    assert seeds == [7]
