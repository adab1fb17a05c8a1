"""A capture that is handed to a worker is what the worker reads, in the words of the interface for methods."""

from dataclasses import replace

import pytest

from bench.camera import PosePrior
from bench.matrix.registry import find_scene
from bench.runner.worker_io import read_capture, write_capture
from bench.stated_prior import WALKS, prior_of


@pytest.fixture(scope="module")
def capture():
    return find_scene("blocks", ()).load(16).capture


@pytest.mark.parametrize("walk", WALKS)
def test_a_prior_of_a_stated_family_reaches_the_worker_as_the_prior_that_it_is(capture, walk, tmp_path):
    stated = replace(prior_of(walk, distance="3..5"), roll_std=90)
    write_capture(tmp_path, replace(capture, prior=stated))
    prior = read_capture(tmp_path).prior
    assert type(prior) is PosePrior
    assert {name: getattr(prior, name) for name in vars(prior)} == {name: getattr(stated, name) for name in vars(prior)}
    assert (prior.radius, prior.roll_std) == ((3.0, 5.0), 90)
