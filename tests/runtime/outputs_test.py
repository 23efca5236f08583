import errno
import os
import subprocess
import sys
import textwrap

import pytest

from sentiment.errors import InputError, StorageError
from sentiment.runtime.outputs import (
    check_target,
    new_file,
    storage_errors,
    write_whole,
)
from tests.conftest import ROOT


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with new_file(path) as place:
        place.write_text("whole")
        assert not path.exists()
    assert names_in(tmp_path) == ["a.txt"]
    assert path.read_text() == "whole"


def test_an_exception_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), new_file(path) as place:
        place.write_text("half")
        raise KeyError
    assert names_in(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_two_writers_of_one_file_do_not_replace_each_other(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match="exists"), new_file(path, False) as place:
        place.write_text("second")
        write_whole(path, "first", overwrite=False)
    assert path.read_text() == "first"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EMLINK])
def test_without_links_a_file_that_came_meanwhile_stays(tmp_path, monkeypatch, error):
    def no_links(*_):
        raise OSError(error, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.txt"
    write_whole(path, "first", overwrite=False)
    with pytest.raises(InputError, match="exists"), new_file(path, False) as place:
        place.write_text("second")
    assert path.read_text() == "first"


def test_a_full_disk_is_a_storage_error(tmp_path):
    path = tmp_path / "a.txt"
    with (
        pytest.raises(StorageError, match=r"a\.txt cannot be written: No space"),
        new_file(path),
        storage_errors(path),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
    assert names_in(tmp_path) == []


def test_an_error_of_another_file_is_not_blamed_on_this_one(tmp_path):
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "a.txt"):
        (tmp_path / "other.txt").read_text()
    assert names_in(tmp_path) == []


def test_what_a_killed_process_left_is_swept_and_a_living_one_keeps_its_own(tmp_path):
    script = textwrap.dedent(
        f"""
        import os, signal
        from sentiment.runtime.outputs import new_file
        with new_file({str(tmp_path / "b.txt")!r}) as place:
            place.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    write_whole(tmp_path / "d.txt", "a fresh one may be about to be locked")
    assert left.exists()
    os.utime(left, (0, 0))
    with new_file(tmp_path / "a.txt") as place:
        place.write_text("slow")
        assert names_in(tmp_path) == [place.name, "d.txt"]
        os.utime(place, (0, 0))
        write_whole(tmp_path / "c.txt", "quick")
    assert names_in(tmp_path) == ["a.txt", "c.txt", "d.txt"]


@pytest.mark.parametrize("name", ["x" * 300, "loop", "none/a.txt", "folder"])
def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        check_target(tmp_path / name, overwrite=False)


def test_permissions_are_those_of_any_new_file(tmp_path):
    write_whole(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    modes = {(tmp_path / name).stat().st_mode for name in ("a.txt", "b.txt")}
    assert len(modes) == 1
