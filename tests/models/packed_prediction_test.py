import threading

import pytest
from tqdm.auto import tqdm

from sentiment.models.packed_prediction import SHOW_PROGRESS, progress_bar


@pytest.mark.parametrize(
    ("total", "verbose"), [(SHOW_PROGRESS - 1, "auto"), (10**6, 0), (10**6, False)]
)
def test_a_hidden_bar_waits_for_no_lock(total, verbose, capsys):
    """An interrupted thread may have kept the one that all bars share."""

    def update():
        with progress_bar(total, verbose) as bar:
            bar.update(total)

    with tqdm.get_lock():
        thread = threading.Thread(target=update, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("total", "verbose"), [(SHOW_PROGRESS, "auto"), (1, 1)])
def test_a_bar_is_shown_for_many_texts_or_on_demand(total, verbose, capsys):
    with progress_bar(total, verbose) as bar:
        bar.update(total)
    assert f"{total}/{total}" in capsys.readouterr().err
