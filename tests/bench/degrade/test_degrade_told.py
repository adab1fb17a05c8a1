"""Degradations of what a method is told and of which views it is shown: what it sees, and what it is judged by."""

from pathlib import Path

import numpy as np
import pytest
from captures import PRIOR, make_capture, make_truth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from bench.degrade import Degradation, degrade
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner.fit_client import fit_ingredients
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.task import Capture, PosePrior

SCRIPTED = Path(__file__).parents[2] / "plugins" / "scripted.py"
HEMISPHERE = PosePrior(elevation_by="area")
IMAGES = make_capture(16, 16, views=1).images


def told(prior: PosePrior, kind: str, severity: float) -> PosePrior:
    capture = Capture(images=IMAGES, prior=prior)
    changed = degrade(capture, Degradation(kind=kind, severity=severity), "scene").prior
    assert changed is not None
    return changed


def execute(suite, degradation, source=SCRIPTED):
    made = plan(
        Selection(scenes="blocks", methods=str(source), degradations=degradation, seeds="0", effort="smoke", roots=())
    )
    (result,) = run(made, Settings(suite=suite), lambda *_: None)
    return result


def test_fewer_views_are_nested_and_never_fewer_than_can_be_aligned():
    capture = make_capture(16, 16, views=40)
    kept = [set(degrade(capture, Degradation(kind="fewer_views", severity=s), "x").images) for s in (1, 2.5, 4, 5)]
    assert [len(views) for views in kept] == [20, 7, 4, 4]
    assert kept[0] > kept[1] > kept[2] >= kept[3]
    few = make_capture(16, 16, views=3)
    assert set(degrade(few, Degradation(kind="fewer_views", severity=5), "x").images) == set(few.images)


def test_views_that_are_gone_take_their_masks_and_start_poses_with_them():
    capture = degrade(make_capture(16, 16, views=40), Degradation(kind="fewer_views", severity=3), "x")
    assert list(capture.images) == list(capture.masks or {}) == list(capture.start or {})


def test_a_truth_for_some_views_has_their_poses_in_the_order_they_were_taken():
    capture = make_capture(views=6)
    truth, (_, second, _, fourth, *_) = make_truth(capture), list(capture.images)
    some = truth.only({fourth, second})
    assert (list(some.poses), some.order) == ([second, fourth], (second, fourth))
    assert some.heldout is truth.heldout
    assert list(truth.only(capture.images).poses) == list(truth.poses)


def test_views_that_were_not_shown_do_not_count_as_unregistered(tmp_path):
    result = execute(tmp_path, "fewer_views@4")
    assert result.status == "done", result.reason
    assert result.metrics["pose/registered"] == 1
    assert result.metrics["pose/rotation_deg_mean"] < 1e-6
    assert sum("pose/rotation_deg" in columns for columns in result.per_view.values()) == 8
    assert sum("nvs/aligned/psnr" in columns for columns in result.per_view.values()) == 25


def test_a_field_made_with_the_declared_camera_is_seen_through_it(tmp_path):
    source = tmp_path / "lens.py"
    text = SCRIPTED.read_text()
    colour = "np.broadcast_to(self.colour.astype(np.float32), (*size, len(self.colour)))"
    assert colour in text
    source.write_text(text.replace(colour, "np.full((*size, 3), camera.fx / 1000, np.float32)"))
    seen = []
    for degradation in ("clean", "focal_error@5"):
        result = execute(tmp_path / "suite", degradation, source)
        render = tmp_path / "suite" / result.cell.folder / "renders" / "h000.aligned.png"
        seen.append(int(np.asarray(Picture.open(render))[0, 0, 0]))
    focal = 32 / np.tan(0.6911112 / 2)
    assert seen == [round(focal * 0.255), round(1.4 * focal * 0.255)]
    assert "camera/focal_relative_error" not in result.metrics  # it was told, and has estimated nothing


def test_a_declared_elevation_grows_downwards_and_turns_up_at_the_nadir():
    assert told(HEMISPHERE, "prior_elevation", 5).elevation == (-45, 90)
    assert told(PRIOR, "prior_elevation", 2).elevation == pytest.approx((0, 60))
    low = PosePrior(elevation=(-80, 0))
    assert told(low, "prior_elevation", 5).elevation == pytest.approx((-90, 30))


def test_a_declared_radius_grows_outwards_and_far_with_it():
    spoilt = told(PRIOR, "prior_radius", 5)
    assert (spoilt.radius, spoilt.near, spoilt.far) == ((3.5, 6.0), 2.0, 8.0)
    assert spoilt.elevation == PRIOR.elevation


def test_another_distribution_is_one_over_the_other_measure():
    spoilt = told(PRIOR, "prior_distribution", 1)
    assert (spoilt.elevation_by, spoilt.family) == ("angle", "sphere+jitter")
    assert (spoilt.elevation, spoilt.radius) == (PRIOR.elevation, PRIOR.radius)
    elevations = []
    for prior in (HEMISPHERE, told(HEMISPHERE, "prior_distribution", 0.6)):
        centres = prior.sample(np.random.default_rng(0), 4000)[:, :3, 3]
        elevations.append(np.degrees(np.arcsin(np.clip(centres[:, 2] / np.linalg.norm(centres, axis=1), -1, 1))).mean())
    assert elevations == pytest.approx([90 - 180 / np.pi, 45], abs=1.5)  # means of the two measures; 4000 draws


priors = st.builds(
    lambda low, width, near, depth, by, up: PosePrior(
        elevation=(low, min(low + width, 90)), radius=(near + depth, near + 2 * depth), near=near,
        far=near + 3 * depth, elevation_by=by, up=up,
    ),
    st.floats(-90, 80), st.floats(0, 180), st.floats(0.1, 5), st.floats(0.1, 5),
    st.sampled_from(["angle", "area"]), st.sampled_from(["x", "y", "z"]),
)  # fmt: skip


@given(prior=priors, severity=st.floats(0.01, 5))
@settings(max_examples=40)
def test_a_spoilt_prior_is_a_prior_that_holds_the_true_one(prior, severity):
    for kind in ("prior_mismatch", "prior_elevation", "prior_radius"):
        wide = told(prior, kind, severity)
        for name in ("elevation", "radius", "azimuth"):
            low, high = getattr(prior, name)
            assert getattr(wide, name)[0] <= low <= high <= getattr(wide, name)[1]
        assert wide.near == prior.near
        assert wide.far - wide.radius[1] == pytest.approx(prior.far - prior.radius[1])
        assert told(prior, "prior_mismatch", severity).elevation == told(prior, "prior_elevation", severity).elevation


def test_a_focal_error_lengthens_both_axes_and_leaves_the_centre():
    clean = make_capture()
    camera = degrade(clean, Degradation(kind="focal_error", severity=4), "x").camera
    assert camera is not None and clean.camera is not None
    assert (camera.fx, camera.fy) == pytest.approx((1.2 * clean.camera.fx, 1.2 * clean.camera.fy))
    assert (camera.cx, camera.cy, camera.width) == (clean.camera.cx, clean.camera.cy, clean.camera.width)


def test_a_method_is_not_run_on_lies_that_it_is_not_told():
    made = plan(
        Selection(
            scenes="blocks",
            methods="colmap_nerf,colmap_nerf[intrinsics=unknown],gnerf,nerf",
            degradations="prior_radius@2,focal_error@2,gaussian_noise@2",
            seeds="0",
            effort="smoke",
        )
    )
    skipped = {(p.cell.degradation, p.cell.method): p.skip for p in made.cells if p.skip}
    assert skipped == {
        ("prior_radius@2", "colmap_nerf"): "prior_radius spoils the prior, which it is not given",
        ("prior_radius@2", "colmap_nerf[intrinsics=unknown]"): "prior_radius spoils the prior, which it is not given",
        ("focal_error@2", "colmap_nerf[intrinsics=unknown]"): "focal_error spoils the camera, which it is not given",
    }


def test_an_edited_filter_spoils_no_result_of_another_file():
    made = plan(
        Selection(
            scenes="blocks",
            methods=str(SCRIPTED),
            degradations="gaussian_noise@1,low_texture@1",
            seeds="0",
            effort="smoke",
        )
    )
    noise, texture = (set(fit_ingredients(p, "digest", "cpu")["degradation"]["code"]) for p in made.cells)
    assert {"bench/degrade/__init__.py", "bench/degrade/kind.py"} <= noise & texture
    assert noise - texture == {"bench/degrade/noise.py"}
    assert texture - noise == {"bench/degrade/texture.py", "bench/degrade/smoothing.py"}
