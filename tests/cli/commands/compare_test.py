import pytest

from sentiment.cli import main as cli
from sentiment.errors import InputError


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


def test_baseline_script_saves_and_prints(run_script, files, tmp_path):
    result = run_script(
        "baseline.py", *files.flags, "--method=lexicon", f"--workdir={tmp_path / 'a'}"
    )
    assert result.returncode == 0, result.stderr
    assert "Test: accuracy" in result.stdout
    assert (tmp_path / "a" / "metrics.json").is_file()


def test_a_training_run_compares_with_a_baseline(run_script, runs, trained, tmp_path):
    chart = tmp_path / "chart.png"
    result = run_script(
        "compare.py",
        *runs,
        trained.workdir,
        f"--output={chart}",
        env={"COLUMNS": "150"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("95%") >= 1
    for path in (*runs, trained.workdir):
        assert path.name in result.stdout
    assert chart.stat().st_size > 5000
    again = run_script("compare.py", *runs, f"--output={chart}")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


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
