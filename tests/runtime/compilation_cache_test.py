import platform
from pathlib import Path

import jax
import pytest

from sentiment.runtime.compilation_cache import _machine, use_compilation_cache

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_compilation_cache_max_size",
)


@pytest.fixture(autouse=True)
def restored():
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_go_to_the_cache_folder(tmp_path):
    use_compilation_cache(str(tmp_path))
    folder = Path(jax.config.jax_compilation_cache_dir)
    assert folder.parent == tmp_path
    assert folder.name.startswith(f"xla-{platform.machine()}-")


def test_another_processor_has_programs_of_its_own(monkeypatch):
    folders = {_machine()}
    for features in ("flags\t: avx2\n", "flags\t: avx2 avx512f\n"):
        monkeypatch.setattr(Path, "read_text", lambda _, text=features: text * 2)
        folders.add(_machine())
    assert len(folders) == 3


def test_without_folder_nothing_is_kept():
    use_compilation_cache("")
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_jax_has_already_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", "mine")
    use_compilation_cache(str(tmp_path))
    assert jax.config.jax_compilation_cache_dir == "mine"


def test_a_second_process_finds_what_the_first_compiled(
    tmp_path, run_script, make_classifier
):
    make_classifier().save(tmp_path / "model.keras")
    command = (f"--model={tmp_path}/model.keras", "--text=a", f"--cache_dir={tmp_path}")
    answers, used = [], []
    for _ in range(2):
        result = run_script("predict.py", *command)
        assert result.returncode == 0, result.stderr
        answers.append(result.stdout)
        # JAX notes beside each program when it was last written or read.
        notes = tmp_path.glob("xla-*/*-atime")
        used.append(
            {path.name: int.from_bytes(path.read_bytes(), "little") for path in notes}
        )
    first, second = used
    assert first
    # The second may keep more: on a busy machine others take long to compile.
    assert all(second[name] > moment for name, moment in first.items())
    assert answers[0] == answers[1]
