"""The method as the suite runs it: what it asks for, where it goes on after a kill, what it saves."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.task import Camera, Capture, Job, ViewId
from methods.colmap_nerf import train as colmap_train
from methods.colmap_nerf.config import ColmapNerfConfig
from methods.colmap_nerf.method import ColmapNerf
from methods.nerf.config import PosedFieldConfig
from methods.sfm.reconstruct import Reconstruction

CAMERA = Camera(width=24, height=24, fx=30.0, fy=30.0, cx=12.0, cy=12.0)
VIEWS = [ViewId(f"v{k:03d}") for k in range(5)]
QUICK = ColmapNerfConfig(steps=2)


@pytest.fixture
def capture():
    rng = np.random.default_rng(0)
    return Capture(
        images={view: rng.integers(0, 256, (24, 24, 3), dtype=np.uint8) for view in VIEWS},
        camera=CAMERA,
        background=(1.0, 1.0, 1.0),
    )


@pytest.fixture
def found():
    """Four of five views registered."""
    rng = np.random.default_rng(1)
    poses = {view: np.eye(4) for view in VIEWS[:4]}
    for k, pose in enumerate(poses.values()):
        pose[:3, 3] = [0.2 * k, 0.1, -4.0]
    return Reconstruction(
        poses=poses, points=rng.uniform(-1, 1, (50, 3)), camera=CAMERA, notes={"mapper": "incremental", "points": 50}
    )


def test_options_of_the_poses_and_of_the_field_stand_side_by_side():
    config = ColmapNerfConfig.model_validate({"mapper": "global", "field": "mlp"})
    assert config.radiance == PosedFieldConfig(field="mlp")
    with pytest.raises(ValidationError, match="mapper"):
        ColmapNerfConfig.model_validate({"mapper": "hybrid"})
    with pytest.raises(ValidationError, match="matcher"):
        ColmapNerfConfig.model_validate({"matcher": "loftr"})


def test_what_it_is_given_follows_from_its_options():
    assert not ColmapNerf().traits.needs
    assert ColmapNerf().traits.uses == {"camera"}
    assert not ColmapNerf().traits.estimates_camera
    unknown = ColmapNerf(ColmapNerfConfig(intrinsics="unknown")).traits
    assert not unknown.needs
    assert unknown.estimates_camera
    assert ColmapNerf(ColmapNerfConfig(masks=True)).traits.uses == {"camera", "masks"}


def test_a_reconstruction_reads_back_as_it_was(found, tmp_path):
    assert colmap_train.read(tmp_path) is None
    colmap_train.write(found, tmp_path)
    again = colmap_train.read(tmp_path)
    assert again is not None
    assert (list(again.poses), again.camera, again.notes) == (list(found.poses), found.camera, found.notes)
    assert all(np.array_equal(again.poses[view], found.poses[view]) for view in found.poses)
    assert np.array_equal(again.points, found.points)
    assert not list(tmp_path.glob("*.tmp"))


def test_arrays_without_a_description_are_not_a_reconstruction(found, tmp_path):
    colmap_train.write(found, tmp_path)
    (tmp_path / colmap_train.DESCRIPTION).unlink()  # killed between the two files
    assert colmap_train.read(tmp_path) is None


def test_a_fit_killed_after_its_poses_were_found_does_not_look_for_them_again(capture, found, tmp_path, monkeypatch):
    searches = []

    def search(*arguments, **_):
        searches.append(arguments)
        return found

    def killed(*_, **__):
        raise KeyboardInterrupt

    job = Job(seed=0, workdir=tmp_path, effort="smoke")
    monkeypatch.setattr(colmap_train, "reconstruct", search)
    with monkeypatch.context() as patched:
        patched.setattr(colmap_train, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            ColmapNerf(QUICK).fit(capture, job)
    answer = ColmapNerf(QUICK).fit(capture, job)
    assert len(searches) == 1
    assert set(answer.poses) == set(found.poses)
    assert answer.notes == found.notes


def test_the_field_trains_on_registered_views_and_survives_saving(capture, found, tmp_path):
    colmap_train.write(found, tmp_path)
    method = ColmapNerf(QUICK)
    answer = method.fit(capture, Job(seed=0, workdir=tmp_path, effort="smoke"))
    assert set(answer.poses) == set(VIEWS[:4])
    assert answer.camera is None  # it was given
    folder = tmp_path / "field"
    folder.mkdir()
    assert method.load(folder, "cpu") is None
    method.save(answer, folder)
    again = method.load(folder, "cpu")
    assert answer.field is not None and again is not None
    pose = found.poses[VIEWS[0]][None]
    assert np.array_equal(again.render(pose, CAMERA).rgb, answer.field.render(pose, CAMERA).rgb)


@pytest.mark.parametrize("field", ["grid", "gaussians"])
def test_the_points_that_colmap_found_are_handed_to_the_training(field, capture, found, tmp_path, monkeypatch):
    given = []

    def spy(*arguments, points=None):
        given.append(points)
        raise KeyboardInterrupt

    colmap_train.write(found, tmp_path)
    monkeypatch.setattr(colmap_train, "train", spy)
    with pytest.raises(KeyboardInterrupt):
        ColmapNerf(ColmapNerfConfig(field=field)).fit(capture, Job(seed=0, workdir=tmp_path, effort="smoke"))
    (points,) = given
    assert np.array_equal(points, found.points)


def test_listing_the_method_imports_neither_torch_nor_colmap():
    import subprocess
    import sys

    code = (
        "import sys, methods.colmap_nerf.method as m; m.ColmapNerf().traits;"
        "print([name for name in ('torch', 'pycolmap') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
