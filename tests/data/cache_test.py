import os

import numpy as np
import pytest

from sentiment.data.cache import ArrayCache, fingerprint
from sentiment.errors import InputError

ARRAYS = {"a": np.arange(5, dtype=np.uint16), "b": np.array(3)}


def test_what_was_saved_is_loaded(tmp_path):
    cache = ArrayCache(tmp_path / "new" / "folder")
    assert cache.load("key") is None
    cache.save("key", ARRAYS)
    found = ArrayCache(tmp_path / "new" / "folder").load("key", *ARRAYS)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert cache.load("other") is None
    assert [path.name for path in cache.folder.iterdir()] == ["key.npz"]


@pytest.mark.parametrize("size", [0, 10, -20])
def test_a_damaged_entry_is_none(tmp_path, size):
    cache = ArrayCache(tmp_path)
    cache.save("key", ARRAYS)
    path = tmp_path / "key.npz"
    path.write_bytes(path.read_bytes()[:size])
    assert cache.load("key", *ARRAYS) is None
    cache.save("key", ARRAYS)
    assert cache.load("key", *ARRAYS) is not None
    assert cache.load("key", *ARRAYS, "c") is None


@pytest.mark.parametrize("place", range(0, 700, 7))
def test_a_damaged_byte_is_found_or_harmless(tmp_path, place):
    cache = ArrayCache(tmp_path)
    cache.save("key", ARRAYS)
    path = tmp_path / "key.npz"
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0xFF
    path.write_bytes(content)
    found = cache.load("key", *ARRAYS)
    assert found is None or found.keys() == ARRAYS.keys()
    for name, array in (found or {}).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_without_folder_nothing_is_kept():
    cache = ArrayCache("")
    cache.save("key", ARRAYS)
    assert cache.load("key") is None


def test_a_folder_that_cannot_be_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    cache = ArrayCache(tmp_path / "file")
    cache.save("key", ARRAYS)
    assert cache.load("key") is None


def test_the_least_recently_used_go_first(tmp_path):
    size = 10_000
    cache = ArrayCache(tmp_path, max_bytes=3 * size + 2000)
    entry = {"a": np.zeros(size, np.uint8)}
    for age, key in ((30, "one"), (20, "two"), (10, "three")):
        cache.save(key, entry)
        path = tmp_path / f"{key}.npz"
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    assert cache.load("one", "a") is not None  # used now
    cache.save("four", entry)
    assert cache.load("two") is None
    assert all(cache.load(key, "a") for key in ("one", "three", "four"))


def test_entries_may_take_up_all_the_room_there_is(tmp_path):
    entry = {"a": np.zeros(1000, np.uint8)}
    ArrayCache(tmp_path).save("one", entry)
    size = (tmp_path / "one.npz").stat().st_size
    os.utime(tmp_path / "one.npz", (0, 0))
    for room, kept in ((2 * size, ["one", "two"]), (2 * size - 1, ["two"])):
        ArrayCache(tmp_path, max_bytes=room).save("two", entry)
        assert sorted(path.stem for path in tmp_path.iterdir()) == kept


def test_fingerprint_tells_apart_what_differs():
    different = [
        fingerprint("ab"),
        fingerprint("a", "b"),
        fingerprint(["a", "b"]),
        fingerprint(["ab"], ["c"]),
        fingerprint(["ab", "c"]),
        fingerprint(["a", "bc"]),
        fingerprint([]),
        fingerprint(),
        fingerprint("\ud800"),
        fingerprint(b"\xff"),
    ]
    assert len(set(different)) == len(different)
    assert fingerprint("ab") == fingerprint("ab") == fingerprint(b"ab")


def test_a_read_only_cache_is_read(tmp_path, monkeypatch):
    cache = ArrayCache(tmp_path)
    cache.save("key", {"a": np.arange(3)})

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr("os.utime", refuse)
    assert cache.load("key", "a")["a"].tolist() == [0, 1, 2]


def test_other_arrays_under_a_key_are_damage(tmp_path):
    cache = ArrayCache(tmp_path)
    cache.save("a", {"x": np.arange(3)})
    cache.save("b", {"x": np.arange(4)})
    assert cache.load("a", "x")["x"].tolist() == [0, 1, 2]
    (tmp_path / "a.npz").write_bytes((tmp_path / "b.npz").read_bytes())
    assert cache.load("a", "x") is None
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    assert cache.load("a", "x") is None


def test_a_folder_that_anyone_may_write_to_is_refused(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(InputError, match=r"Anyone may write to the cache .*chmod"):
        ArrayCache(folder)
    folder.chmod(0o775)
    ArrayCache(folder).save("a", {"x": np.arange(3)})
    assert ArrayCache(folder).load("a", "x") is not None


def test_a_new_folder_is_private_whatever_the_umask(tmp_path):
    umask = os.umask(0)
    try:
        for _ in range(2):
            cache = ArrayCache(tmp_path / "new" / "tokens")
            cache.save("a", {"x": np.arange(3)})
    finally:
        os.umask(umask)
    assert cache.load("a", "x") is not None
