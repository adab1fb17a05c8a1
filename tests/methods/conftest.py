"""Captures that tests of several methods share."""

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


@pytest.fixture(scope="module")
def town():
    """`blocks` at 64 px, its poses as rough as BARF has them."""
    from dataclasses import replace

    from bench.degrade.initial_poses import generator_of, perturbed
    from bench.matrix.registry import find_scene
    from bench.task import InitialPoses

    scene = find_scene("blocks", ()).load(64)
    capture = replace(scene.capture, start=scene.truth.poses, masks=None)
    return replace(scene, capture=perturbed(capture, InitialPoses(noise=0.15), generator_of("blocks", 0)))
