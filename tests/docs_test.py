"""README and docs keep what they promise: links, commands, Python."""

import ast
import importlib
import re
import shlex
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import sentiment
from sentiment.cli.main import COMMANDS, parse
from tests.conftest import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "MODEL_CARD", "CONTRIBUTING")),
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *DOCS,
]
MAIN_COMMAND = "python scripts/train.py --flagfile=configs/imdb.cfg"
# A prompt, variables and a folder may stand before a command.
COMMAND = re.compile(
    r"[$!]?\s*(?:[A-Z_]+=\S+\s+)*(?:\.venv/bin/)?"
    r"(?P<words>(?:sentiment|python|pip|make) .*)"
)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """`(language, text)` of each fenced block, and of each indented one, with ""."""
    found, lines, fence, before = [], [], None, ""
    for line in [*page.read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith("```"):
            if fence is not None:
                found.append((fence, "\n".join(lines)))
            lines, fence = [], None if fence is not None else line[3:].strip()
        elif fence is not None:
            lines.append(line)
        elif line.startswith("    ") and (lines or not before):
            lines.append(line[4:])
        elif line and lines:
            found.append(("", "\n".join(lines)))
            lines = []
        before = line
    return found


def prose(page):
    """The text without blocks and inline code."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def links(page):
    """Targets of a page's links, but for those to other sites."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(page):
    """What GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    seen, found = Counter(), set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def commands(page):
    """The words of each command in a page's blocks; comments are left out."""
    for language, text in blocks(page):
        if language == "python":
            continue
        lines = text.replace("\\\n", " ").splitlines()
        for part in (part for line in lines for part in line.split(" && ")):
            if match := COMMAND.match(part):
                yield shlex.split(match["words"], comments=True)


def of_ours(words):
    """`(name, arguments)` of a command of this project, else `None`."""
    if words[0] == "sentiment":
        return words[1], words[2:]
    script = re.fullmatch(r"scripts/(\w+)\.py", words[1])
    return (script[1], words[2:]) if script else None


FOUND = [(page, words) for page in PAGES for words in commands(page)]
OURS = [(page, found) for page, words in FOUND if (found := of_ours(words))]
PYTHON = [
    (page, text)
    for page in PAGES
    for language, text in blocks(page)
    if language == "python"
]

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def test_the_readme_is_short_and_has_the_main_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 140
    assert f"    {MAIN_COMMAND}" in text


def test_the_index_has_one_line_for_each_page():
    index = ROOT / "docs" / "README.md"
    rows = re.findall(r"^\| \[([\w.]+)\]\(\1\) \|", index.read_text(), re.MULTILINE)
    assert sorted(rows) == [page.name for page in DOCS if page != index]


@each_page
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.fixture
def flagfiles(tmp_path, monkeypatch):
    """A folder with what `sentiment configs --copy` and earlier runs left there.

    Returns a function that makes a run's flagfile, given its path.
    """
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for path in ROOT.glob("configs/*.cfg"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = parse("train", ["--dataset=imdb_reviews", "--workdir=runs/w"]).run

    def make(path):
        path = Path(path)
        path.parent.mkdir(parents=True)
        is_data = path.name == "data.cfg"
        path.write_text(run.to_data_flagfile() if is_data else run.to_flagfile())

    return make


@pytest.mark.parametrize(
    ("page", "command"),
    OURS,
    ids=[f"{name_of(page)}: {' '.join([name, *rest])}" for page, (name, rest) in OURS],
)
def test_commands_parse(page, command, flagfiles):
    name, arguments = command
    for argument in arguments:
        if argument.startswith("--flagfile=runs/"):
            flagfiles(argument.removeprefix("--flagfile="))
    parse(name, arguments)  # raises InputError where it does not


def test_every_command_is_shown():
    assert {name for _, (name, _) in OURS} == set(COMMANDS)


def test_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = {words[1] for _, words in FOUND if words[0] == "make"}
    assert shown and shown <= set(targets)


def test_files_that_python_and_pip_are_given_exist():
    files = {
        word
        for _, words in FOUND
        if words[0] in ("python", "pip")
        for word in words
        if word.endswith((".py", ".txt"))
    }
    assert {"requirements.txt", "benchmarks/throughput.py"} <= files
    assert all((ROOT / file).is_file() for file in files)


def test_extras_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    extras = {extra for text in texts for extra in re.findall(r'"\.\[(\w+)\]"', text)}
    assert extras and extras <= set(project["optional-dependencies"])


@pytest.mark.parametrize(
    ("page", "text"),
    PYTHON,
    ids=[f"{name_of(page)}: {i}" for i, (page, _) in enumerate(PYTHON)],
)
def test_python_compiles_and_names_what_there_is(page, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sentiment"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "sentiment" or hasattr(sentiment, node.attr)
