"""A unit is free; noise around a point is not an answer; what is right in part is one."""

import numpy as np
import pytest
from rigs import forward_facing, named, rescaled, ring, shifted, sphere
from scipy.spatial.transform import Rotation

from bench.judge.align import Rules, align, chance_scale
from bench.judge.similarity import radius
from bench.task import Collapsed


def noise_around_a_point(truth, rng, rotations="exact"):
    """Centres within 1e-4 of one point, in a world where they should be 4 from each other's middle."""
    estimate = truth.copy()
    estimate[:, :3, 3] = [1.0, -2.0, 0.5] + 1e-4 * rng.normal(size=(len(truth), 3))
    if rotations == "random":
        estimate[:, :3, :3] = Rotation.random(len(truth), random_state=int(rng.integers(2**31))).as_matrix()
    if rotations == "one":
        estimate[:, :3, :3] = np.eye(3)
    return estimate


def is_collapse(estimate, truth, why):
    try:
        align(named(estimate), named(truth))
    except Collapsed as collapse:
        return why in str(collapse)
    return False


@pytest.mark.parametrize("unit", [1e-6, 1e-4, 1 / 2000, 1e-3, 1.0, 1000.0, 1e6])
@pytest.mark.parametrize("rig", [sphere, forward_facing])
def test_exact_poses_are_exact_in_any_unit(rig, unit):
    truth = rig(np.random.default_rng(0))
    found = align(named(rescaled(truth, unit)), named(truth))
    assert found.flags == ()
    assert found.normalised_scale == pytest.approx(1, abs=1e-9)
    for each in (found.similarity, found.robust):
        np.testing.assert_allclose(each.apply(rescaled(truth, unit)), truth, atol=1e-9)
    assert len(found.inliers) == len(truth)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("rig", [sphere, forward_facing])
def test_the_unit_of_a_poor_answer_does_not_matter_either(rig, unit):
    rng = np.random.default_rng(1)
    truth = rig(rng)
    poor = shifted(truth, rng, 0.2)
    metres, other = (align(named(rescaled(poor, factor)), named(truth)) for factor in (1.0, unit))
    assert other.flags == metres.flags
    assert other.normalised_scale == pytest.approx(metres.normalised_scale, rel=1e-9)
    for name in ("similarity", "robust"):
        a, b = getattr(metres, name).apply(poor), getattr(other, name).apply(rescaled(poor, unit))
        np.testing.assert_allclose(b, a, atol=1e-9)


@pytest.mark.parametrize("count", [17, 40, 100])
@pytest.mark.parametrize("rotations", ["exact", "random", "one"])
@pytest.mark.parametrize("rig", [sphere, ring, forward_facing])
def test_noise_around_a_point_is_a_collapse(rig, rotations, count):
    passed = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = rig(rng, count)
        estimate = noise_around_a_point(truth, rng, rotations)
        passed += not is_collapse(estimate, truth, "noise around one point")
    assert passed <= 2  # in the mean 1 to 5 % of 12


def test_how_often_random_centres_pass_is_as_said():
    """With nothing but the centres: the shares that `align` names."""
    rules = Rules()
    for count, least, most in ((5, 0.4, 0.95), (10, 0.08, 0.35), (13, 0.02, 0.14), (20, 0, 0.04), (100, 0.01, 0.07)):
        rng = np.random.default_rng(count)
        passed = 0
        for _ in range(300):
            y, x = (p - p.mean(0) for p in (rng.normal(size=(count, 3)), sphere(rng, count)[:, :3, 3]))
            R, _ = Rotation.align_vectors(y, x)
            passed += (y * R.apply(x)).sum() / count / radius(x) / radius(y) >= chance_scale(x, y, None, rules)
        assert least <= passed / 300 <= most, (count, passed)


@pytest.mark.parametrize("rig", [sphere, forward_facing])
@pytest.mark.parametrize("stretch", [1.0, 20.0])
def test_under_a_rotation_that_centres_do_not_choose_random_ones_pass_in_five_cases_of_a_hundred(rig, stretch):
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(1000):
        y = rig(rng, 20)[:, :3, 3]
        x = rng.normal(size=(20, 3)) * [stretch, 1, 1]
        matched = ((y - y.mean(0)) * (x - x.mean(0))).sum() / 20 / radius(x) / radius(y)
        passed += matched >= chance_scale(x, y, np.eye(3), Rules())
    assert 30 <= passed <= 75


@pytest.mark.parametrize("count", [4, 5, 6, 20])
def test_exact_poses_of_few_views_are_no_collapse(count):
    truth = sphere(np.random.default_rng(2), 30)
    found = align(named(truth[:count]), named(truth))
    assert found.normalised_scale == pytest.approx(1, abs=1e-9)
    assert found.flags == ()


@pytest.mark.parametrize("far", [3.0, 1e3])
def test_an_answer_that_is_right_in_part_is_no_collapse(far):
    """A few cameras far off decide the least squares; the others are exact, and are found."""
    rng = np.random.default_rng(3)
    truth = sphere(rng, 40)
    estimate = truth.copy()
    wrong = rng.choice(40, 25, replace=False)
    estimate[wrong, :3, 3] = 4 * far * rng.normal(size=(25, 3))
    estimate[wrong, :3, :3] = Rotation.random(25, random_state=0).as_matrix()
    found = align(named(estimate), named(truth))
    right = np.setdiff1d(np.arange(40), wrong)
    np.testing.assert_allclose(found.robust.apply(estimate)[right], truth[right], atol=1e-9)
    assert any("normalised scale" in flag for flag in found.flags)


def test_centres_that_contradict_the_cameras_still_have_a_positive_scale():
    """Mirrored about the rig's middle, on a rig whose frame comes from the cameras' rotations."""
    truth = forward_facing(np.random.default_rng(4))
    estimate = truth.copy()
    estimate[:, :3, 3] = 2 * truth[:, :3, 3].mean(0) - truth[:, :3, 3]
    estimate[:6] = truth[:6]
    found = align(named(estimate), named(truth))
    assert found.similarity.scale > 0
    assert any("normalised scale -" in flag for flag in found.flags)
