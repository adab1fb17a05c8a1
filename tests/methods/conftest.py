"""What the tests of GNeRF before a real background share."""

import pytest


@pytest.fixture(scope="module")
def open_town():
    """A dozen views of a small town, of which nobody says that their background is one colour."""
    from test_gnerf_train import shown

    from bench.matrix.registry import find_scene

    return shown(find_scene("blocks", ()).load(64), 12, background=None)


@pytest.fixture
def never_collapses(monkeypatch):
    """After so few iterations a field may well be fog."""
    from methods.gnerf import training_run

    monkeypatch.setattr(training_run, "symptom", lambda *_, **__: None)
