import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sentiment
from sentiment.cli import main as cli
from tests.conftest import ROOT

SOURCES = sorted([*ROOT.glob("sentiment/**/*.py"), *ROOT.glob("scripts/*.py")])
# Records who imports it, and is as absent as on a machine without TensorFlow.
FAKE_TENSORFLOW = """
import os, sys
frame = sys._getframe(1)
while frame.f_code.co_filename.startswith("<frozen importlib"):
    frame = frame.f_back
with open(os.environ["IMPORTERS"], "a") as stream:
    stream.write(frame.f_code.co_filename + "\\n")
raise ImportError("no TensorFlow here")
"""
IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import sentiment
import keras
first = keras.backend.backend()
for module in pkgutil.walk_packages(sentiment.__path__, "sentiment."):
    importlib.import_module(module.name)
print(json.dumps([first, "tensorflow" in sys.modules, sorted(sys.modules)]))
"""


def imports(path):
    """`(module, in a function)` of every import in a source file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node in inner) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module, node in inner
            full = (f"{module}.{name.name}" for name in node.names)
            yield from ((name, node in inner) for name in full)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """`(backend, has TensorFlow, modules, importers)` of a fresh process.

    It imports every module, with `KERAS_BACKEND` unset, from another folder.
    """
    folder = tmp_path_factory.mktemp("fake")
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(FAKE_TENSORFLOW)
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    environment["IMPORTERS"] = str(folder / "importers")
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    log = folder / "importers"
    importers = log.read_text().splitlines() if log.exists() else []
    return (*json.loads(result.stdout.splitlines()[-1]), importers)


def test_backend_is_jax_without_being_told(fresh):
    assert fresh[0] == "jax"


def test_tensorflow_is_not_loaded(fresh):
    assert not fresh[1]


def test_nothing_of_ours_asks_for_tensorflow(fresh):
    folders = (ROOT / "sentiment", ROOT / "scripts")  # .venv is under ROOT, too
    ours = [
        name
        for name in fresh[3]
        if any(Path(name).is_relative_to(folder) for folder in folders)
    ]
    assert ours == []


def test_the_fake_tensorflow_is_noticed(fresh):
    # keras-hub tries it; were the record empty, the test above would say nothing.
    assert any("keras" in name for name in fresh[3])


def test_importing_every_module_defers_tensorflow_datasets(fresh):
    modules = set(fresh[2])
    assert "sentiment.data.tfds_source" in modules
    assert "tensorflow_datasets" not in modules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_imports_tensorflow(path):
    for name, is_inner in imports(path):
        assert name.split(".")[0] not in ("tensorflow", "tf_keras", "torch")
        if name.split(".")[0] == "tensorflow_datasets":
            assert is_inner


def test_only_the_search_pays_for_optuna():
    users = {
        path.parent.name
        for path in SOURCES
        for name, _ in imports(path)
        if name and name.split(".")[0] in ("optuna", "sqlalchemy")
    }
    assert users == {"search"}
    for path in SOURCES:
        for name, is_inner in imports(path):
            is_search = name and name.startswith("sentiment.search")
            assert is_inner or path.parent.name == "search" or not is_search


def test_flags_are_read_in_one_place():
    readers = {path.name for path in SOURCES if "absl.flags" in dict(imports(path))}
    assert readers == {"flags.py"}
    others = {
        path.name
        for path in SOURCES
        if {"argparse", "click", "optparse"} & dict(imports(path)).keys()
    }
    assert others == set()


def test_package_does_not_lean_on_the_scripts():
    for path in ROOT.glob("sentiment/**/*.py"):
        assert "scripts" not in {name.split(".")[0] for name, _ in imports(path)}


# What each part of the package may import of the others. Data flow one way:
# commands, applications, inference, models, data, config. Training stands beside
# applications: nothing that answers a request imports it.
LAYERS = {
    "errors": set(),
    "bundled": {"errors"},
    "config": {"errors"},
    "runtime": {"config", "errors"},
    "data": {"config", "errors", "runtime"},
    "runs": {"config", "data", "errors"},
    "models": {"bundled", "config", "data", "errors", "runtime"},
}
LAYERS["inference"] = {*LAYERS["models"], "models", "runs"}
LAYERS["evaluation"] = LAYERS["inference"]
LAYERS["applications"] = {*LAYERS["inference"], "inference", "evaluation"}
LAYERS["service"] = {*LAYERS["applications"], "applications"}
LAYERS["behaviour"] = {"config", "data", "errors", "evaluation", "inference"}
LAYERS["baselines"] = {"config", "data", "errors", "evaluation", "runs"}
LAYERS["training"] = {*LAYERS["inference"], "inference", "evaluation", "baselines"}
LAYERS["compression"] = LAYERS["search"] = {*LAYERS["training"], "training"}
LAYERS["diagnosis"] = {"config", "data", "errors", "inference", "runtime"}
LAYERS["cli"] = set(LAYERS)
# The face of the package stands above all: what it names is imported when asked for.
FACE = {"__init__", "__main__"}


def layer_of(path):
    """The part of the package that a source file belongs to."""
    return path.relative_to(ROOT / "sentiment").parts[0].removesuffix(".py")


def forbidden(layer, source_imports):
    """Imports that a layer may not have; relative ones hide what they name."""
    parts = [(name, name.split(".")) for name, _ in source_imports]
    others = set(LAYERS) - {layer} - LAYERS[layer]
    return [
        name
        for name, (package, *part) in parts
        if not package or (package == "sentiment" and others & {*part[:1]})
    ]


def test_every_part_of_the_package_has_its_place():
    parts = {layer_of(path) for path in ROOT.glob("sentiment/**/*.py")}
    assert parts - FACE <= set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    if path.is_relative_to(ROOT / "sentiment") and layer_of(path) not in FACE:
        assert forbidden(layer_of(path), imports(path)) == []


# Who may import by a name that is computed, which the test above does not see: the face
# and the registries, where the name stands in a table, and who hides or adds an import.
BY_NAME = {
    "sentiment/__init__.py",
    "sentiment/cli/main.py",
    "sentiment/models/backbones/__init__.py",
    "sentiment/runtime/light_imports.py",
    "sentiment/runtime/registration.py",
}


def test_few_import_by_name():
    pattern = re.compile(r"\b(import_module|__import__)\(")
    users = {path for path in SOURCES if pattern.search(path.read_text("utf-8"))}
    assert {path.relative_to(ROOT).as_posix() for path in users} == BY_NAME


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("inference", "from sentiment.training.train import train_and_evaluate"),
        ("data", "import sentiment.models.losses"),
        ("config", "def f():\n    from sentiment.data import packing"),
        ("applications", "from sentiment.training import train"),
        ("bundled", "from sentiment.config import RunConfig"),
        ("runs", "from sentiment.evaluation.plots import plot_search"),
        ("inference", "from ..training import train"),
        ("models", "from .. import training"),
    ],
)
def test_an_import_against_the_layers_is_found(tmp_path, layer, line):
    source = tmp_path / "source.py"
    source.write_text(line)
    assert forbidden(layer, imports(source))


def test_readme_imports_sentiment_before_keras():
    # Keras picks its backend when it is imported; its own default is TensorFlow.
    block = (ROOT / "README.md").read_text().split("```python\n")[1]
    assert 0 <= block.index("import sentiment") < block.index("import keras")


def test_version_is_that_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sentiment.__version__ == project["version"]


def test_checkers_of_types_see_the_public_names():
    tree = ast.parse((ROOT / "sentiment" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {name.asname: line.module for line in block.body for name in line.names}
    assert seen == sentiment._MODULE_OF


def test_parts_of_the_package_are_its_attributes():
    program = "import sentiment; print(sentiment.config.__name__)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "sentiment.config"
    assert not hasattr(sentiment, "no_such_part")


def test_public_names_exist_and_input_error_is_a_value_error():
    assert all(hasattr(sentiment, name) for name in sentiment.__all__)
    assert issubclass(sentiment.InputError, ValueError)


def test_importing_leaves_jax_asleep():
    program = "import sentiment.models; from jax._src import xla_bridge as jax; "
    program += "print(jax._backends)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "{}"


def test_the_file_tree_names_every_module_and_script():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.split("\n## File tree\n")[1].split("\n## ")[0]
    folders, named = [], []
    for line in filter(None, tree.splitlines()):
        # Names stand before two blanks, and what they are for after these.
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folders = folders[: (len(line) - len(line.lstrip())) // 2 - 2]
        if names[0].endswith("/"):
            folders.append(names[0])
        named += ["".join([*folders, name]) for name in names if name.endswith(".py")]
    expected = [path for path in SOURCES if path.name != "__init__.py"]
    assert sorted(named) == [path.relative_to(ROOT).as_posix() for path in expected]


def test_what_is_resolved_is_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["train"], *extras["tune"]]
    declared = {re.match(r"[\w-]+", line).group() for line in lines} - {"sentiment"}
    lines = (ROOT / "requirements.in").read_text().splitlines()
    resolved = {m.group() for line in lines if (m := re.match(r"[\w-]+", line))}
    assert resolved - declared == {"tensorflow-text"}
    assert declared <= resolved


def test_modules_that_are_missing_are_of_an_extra_that_there_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(cli.EXTRAS.values()) <= set(extras)
    owners = importlib.metadata.packages_distributions()
    for module, extra in cli.EXTRAS.items():
        needed = {Requirement(line).name for line in extras[extra]}
        if module == "sqlalchemy":  # Optuna's
            needed |= {
                Requirement(x).name for x in importlib.metadata.requires("optuna")
            }
        found = {name.lower().replace("_", "-") for name in owners[module]}
        assert needed & found, module
