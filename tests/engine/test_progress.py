"""Bars are shown to people, never to logs."""

import io

from biomem.engine.progress import progress_bar


def test_auto_is_silent_where_nobody_watches(monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress_bar(10, "auto") as bar:
        assert bar.disable


def test_auto_shows_on_a_terminal(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    with progress_bar(10, "auto") as bar:
        assert not bar.disable
    with progress_bar(10, False) as bar:
        assert bar.disable


def test_true_shows_anywhere(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    with progress_bar(10, True) as bar:
        bar.update(10)
    assert "10" in out.getvalue()
