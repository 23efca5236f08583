"""What the tests of the scripts share: toy reviews, a trained run, a caller."""

import functools
import random
from types import SimpleNamespace

import pytest

from sentiment.cli import main as cli
from sentiment.inference import loading
from sentiment.models import packed_text_classifier
from sentiment.models.packed_prediction import packed_batches

CLASSES = ("neg", "neu", "pos")
WORDS = {
    "neg": ["Awful", "dull", "BAD", "boring!"],
    "neu": ["Plain", "usual", "OK", "average"],
    "pos": ["Lovely", "great", "FINE", "superb!"],
}
TINY = (
    "--num_layers=1",
    "--num_heads=2",
    "--hidden_dim=16",
    "--intermediate_dim=32",
    "--vocabulary_size=300",
    "--max_positions=32",
)


def reviews(count, seed):
    """`(text, label)` pairs, every class equally often."""
    draw = random.Random(seed)
    return [
        (
            " ".join(
                draw.choice([*WORDS[label], "the", "film", "a"])
                for _ in range(draw.randint(3, 12))
            ),
            label,
        )
        for label, _ in zip(CLASSES * count, range(count), strict=False)
    ]


@pytest.fixture(scope="session")
def write_reviews():
    """Writes a CSV of toy reviews."""

    def write(path, count, seed=0, labels=CLASSES):
        names = dict(zip(CLASSES, labels, strict=True))
        rows = [f"{text},{names[label]}" for text, label in reviews(count, seed)]
        path.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def files(tmp_path_factory, write_reviews):
    """`train` (150 reviews) and `test` (46 reviews), and their flags."""
    folder = tmp_path_factory.mktemp("reviews")
    train = write_reviews(folder / "train.csv", 150)
    test = write_reviews(folder / "test.csv", 46, seed=1)
    return SimpleNamespace(
        train=train, test=test, flags=(f"--train_file={train}", f"--test_file={test}")
    )


@pytest.fixture(scope="session")
def load_once():
    """`load_classifier`, where a second call for a path costs no compilation."""
    return functools.cache(loading.load_classifier)


@pytest.fixture
def computed_rows(monkeypatch):
    """How many rows each batch has that is predicted, as it goes on."""
    rows = []

    def spy(*arguments):
        for texts, batch in packed_batches(*arguments):
            rows.append(len(batch["token_ids"]))
            yield texts, batch

    monkeypatch.setattr(packed_text_classifier, "packed_batches", spy)
    return rows


@pytest.fixture
def call_script(monkeypatch, capsys, load_once):
    """Runs a script in this process; an error that is no `InputError` gets out.

    Returns its exit status and what it printed.
    """

    def call(name, *arguments):
        monkeypatch.setattr(loading, "load_classifier", load_once)
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        status = 0
        try:
            cli.main([name, *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return SimpleNamespace(status=status, out=printed.out, err=printed.err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory, files):
    """A finished run: lowercased, three classes, validation carved by seed 3."""
    from sentiment.training.train import train_and_evaluate

    workdir = tmp_path_factory.mktemp("run") / "workdir"
    command = cli.parse(
        "train",
        [
            *files.flags,
            *TINY,
            f"--workdir={workdir}",
            "--lowercase",
            "--validation_fraction=0.3",
            "--seed=3",
            "--epochs=2",
            "--batch_size=4",
            "--learning_rate=0.003",
        ],
    )
    result = train_and_evaluate(command.run, command.workdir)
    return SimpleNamespace(
        workdir=workdir,
        classifier=result.classifier,
        metrics=result.metrics,
        history=result.history,
        run=command.run,
    )


@pytest.fixture(scope="session")
def contrary(trained, tmp_path_factory):
    """A model file that says the opposite of `trained`: its head turned around."""
    classifier = loading.load_classifier(trained.workdir)
    head = classifier.logits_dense
    head.set_weights([-weights for weights in head.get_weights()])
    path = tmp_path_factory.mktemp("contrary") / "model.keras"
    classifier.save(path)
    return path
