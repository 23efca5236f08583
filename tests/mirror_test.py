"""Tests stand where what they test does."""

import pytest

from tests.conftest import ROOT

# Of the project as a whole, or of several modules at once.
ACROSS = {
    "bundled_test.py",
    "cli/bad_input_test.py",
    "configs_test.py",
    "data/quickstart_test.py",
    "data/short_texts_test.py",
    "docs_test.py",
    "installation_test.py",
    "lessons_test.py",
    "mirror_test.py",
    "package_test.py",
}
TESTS = sorted(
    path.relative_to(ROOT / "tests").as_posix()
    for path in (ROOT / "tests").rglob("*_test.py")
)


@pytest.mark.parametrize("path", TESTS)
def test_a_test_stands_where_its_module_does(path):
    module = path.replace("_test.py", ".py")
    owners = [ROOT / "sentiment" / module, ROOT / module]
    assert path in ACROSS or any(owner.is_file() for owner in owners)


def test_no_exception_is_left_over():
    assert set(TESTS) >= ACROSS
