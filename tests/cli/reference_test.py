import os
import subprocess
import sys

from sentiment.cli import main as cli
from sentiment.cli.reference import reference
from tests.conftest import ROOT


def test_the_page_is_that_of_the_commands():
    # `make docs` writes it anew.
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


def test_the_page_is_the_same_wherever_caches_are(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "sentiment.cli.reference"],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == reference()


def test_every_public_command_and_flag_is_there():
    page = reference()
    for name in cli.COMMANDS:
        assert (f"\n## {name}\n" in page) == (name != "bundle")
    section = page[page.index("\n## compare\n") :]
    section = section[: section.index("\n## ", 1)]
    for flag in cli.flags_of("compare"):
        assert f"- `--{flag.name}=" in section or f"- `--[no]{flag.name}`" in section
    assert "- `RUNS ...`" in section
