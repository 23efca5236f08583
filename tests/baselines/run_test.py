import json
import os

import numpy as np
import pytest

from sentiment.baselines.run import run_baseline
from sentiment.config import BaselineConfig, BaselineRunConfig, DataConfig
from sentiment.errors import InputError
from sentiment.evaluation.predictions import read_predictions

LINES = {"good": "a lovely great film", "bad": "a dull boring plot"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("train", 60), ("test", 20)):
        rows = [
            f"{text} {name} {i},{label}"
            for label, text in LINES.items()
            for i in range(count)
        ]
        # One test text that training has, too.
        rows.append("a lovely great film train 0,good")
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows, ""]))
    return DataConfig(
        train_file=str(folder / "train.csv"), test_file=str(folder / "test.csv")
    )


def test_metrics_have_the_form_of_a_training_run(files, tmp_path):
    config = BaselineRunConfig(files, BaselineConfig(method="nb_svm"), seed=3)
    metrics = run_baseline(config, tmp_path / "run")
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == 1.0
    assert metrics["test"]["num_examples"] == 41
    assert metrics["test_unseen"]["num_examples"] == 40
    assert metrics["run"]["method"] == "nb_svm"
    assert "--method=nb_svm\n" in (tmp_path / "run" / "config.cfg").read_text()
    assert (tmp_path / "run" / "plots" / "confusion_matrix.png").is_file()
    predictions = read_predictions(tmp_path / "run")
    assert predictions.label_names == ("bad", "good")
    assert np.mean(predictions.is_correct) == 1.0


def test_majority_knows_the_shares_alone(files, tmp_path):
    config = BaselineRunConfig(files, BaselineConfig(method="majority"))
    metrics = run_baseline(config, tmp_path / "run")
    assert metrics["test"]["accuracy"] == pytest.approx(21 / 41)


def test_without_test_there_are_no_predictions(files, tmp_path):
    data = DataConfig(train_file=files.train_file)
    run_baseline(BaselineRunConfig(data, BaselineConfig()), tmp_path / "run")
    with pytest.raises(InputError, match="run that had test data"):
        read_predictions(tmp_path / "run")


def test_finished_run_is_not_replaced_unasked(files, tmp_path):
    config = BaselineRunConfig(files, BaselineConfig(method="majority"))
    run_baseline(config, tmp_path)
    with pytest.raises(InputError, match="already holds a finished run"):
        run_baseline(config, tmp_path)
    run_baseline(config, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("method", "least", "most"), [("tfidf_lr", 0.875, 0.90), ("nb_svm", 0.902, 0.922)]
)
def test_imdb_scores_are_within_a_point_of_the_literature(
    shared_data, tmp_path, method, least, most
):
    if not os.environ.get("SENTIMENT_SLOW"):
        pytest.skip("takes a minute; set SENTIMENT_SLOW=1")
    data = DataConfig(dataset="imdb_reviews", tfds_data_dir=str(shared_data / "tfds"))
    config = BaselineRunConfig(data, BaselineConfig(method=method))
    assert least < run_baseline(config, tmp_path)["test"]["accuracy"] < most
