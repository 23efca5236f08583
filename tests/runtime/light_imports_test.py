import sys

import pytest

from sentiment.runtime.light_imports import _hidden


def test_what_is_hidden_cannot_be_imported_and_then_can():
    name = "wave"  # of the standard library, and imported by nobody here
    sys.modules.pop(name, None)
    with _hidden(name):
        with pytest.raises(ModuleNotFoundError):
            import wave
        assert sys.modules[name] is None
    assert name not in sys.modules
    import wave

    assert wave.__name__ == name


def test_what_is_loaded_already_stays():
    with _hidden("json"):
        assert sys.modules["json"] is not None
    assert "json" in sys.modules


def test_an_error_hides_nothing_for_good():
    sys.modules.pop("wave", None)
    with pytest.raises(ZeroDivisionError), _hidden("wave"):
        _ = 1 / 0
    assert "wave" not in sys.modules
