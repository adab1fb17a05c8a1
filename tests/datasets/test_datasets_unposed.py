"""Scenes whose cameras nobody knows: bare photographs, and transforms files without poses, or with placeholders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import POSES, edit, opengl, picture

from bench.scene import SceneError
from datasets.folder import open_folder, sources
from datasets.images.exif import focal_of
from datasets.loaders.image_files import natural
from datasets.verify import verify


def photographs(folder: Path, count: int = 9, size: tuple[int, int] = (40, 30), **exif: float) -> Path:
    """`1.jpg` to `9.jpg`, `10.jpg`, ...; `focal` (mm, of 35 mm film) and `orientation` go into their EXIF."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        tags = Image.Exif()
        if "orientation" in exif:
            tags[274] = int(exif["orientation"])
        if "focal" in exif:
            tags.get_ifd(0x8769)[41989] = int(exif["focal"])
        picture(k, size).save(folder / f"{k + 1}.jpg", quality=95, exif=tags)
    return folder


def without_poses(raw: dict) -> None:
    for frame in raw["frames"]:
        del frame["transform_matrix"]


def test_bare_photographs_are_a_scene_without_a_truth(tmp_path):
    source = open_folder(photographs(tmp_path / "vase", count=12))
    assert (source.reference, source.inputs) == ("none", frozenset())
    scene = source.load(400)
    assert len(scene.capture.images) == 10 and len(scene.truth.heldout.ids) == 2
    assert scene.capture.camera is None and not scene.truth.poses and scene.truth.heldout.poses.shape == (0, 4, 4)
    assert scene.truth.heldout.after == (0, 7)  # 1.jpg and 9.jpg: names are in natural order
    assert "no focal length is known" in scene.notes[1]
    found = verify(source)
    assert not found.faults and "nobody knows" in found.remarks[-1]


def test_a_folder_of_images_is_a_scene_where_it_is_named_or_has_a_card(tmp_path):
    photographs(tmp_path / "plain")
    (photographs(tmp_path / "carded") / "unposed.toml").write_text('summary = "mine"\n')
    assert {source.name for source in sources([tmp_path]) if not source.missing} == {"carded"}


def test_cameras_that_lie_beside_photographs_are_not_overlooked(tmp_path):
    folder = photographs(tmp_path / "vase")
    (folder / "cameras.npz").write_bytes(b"")
    with pytest.raises(SceneError, match=r"cameras.npz beside the photographs"):
        open_folder(folder)


def test_the_focal_length_is_exifs_by_the_diagonal_of_35_mm_film(tmp_path):
    folder = photographs(tmp_path / "vase", focal=26)
    scene = open_folder(folder).load(400)
    assert scene.capture.camera is not None
    assert scene.capture.camera.fx == pytest.approx(26 / 43.2666 * 50, rel=1e-4)  # 40 x 30 px: a diagonal of 50
    tags = Image.Exif()  # a sensor 36 mm wide of 4000 px, the photograph shrunk to 40: 24 mm are 26.7 px
    tags.get_ifd(0x8769).update({37386: 24.0, 41486: 4000 / 3.6, 41488: 3, 40962: 4000})
    picture(0).save(tmp_path / "one.jpg", exif=tags)
    assert focal_of(tmp_path / "one.jpg", 40, 30) == pytest.approx(24 / 36 * 40, rel=1e-3)
    tags.get_ifd(0x8769)[37386] = 0.0
    picture(0).save(tmp_path / "none.jpg", exif=tags)
    assert focal_of(tmp_path / "none.jpg", 40, 30) is None


def test_a_card_gives_photographs_their_focal_length(tmp_path):
    folder = photographs(tmp_path / "vase")
    (folder / "unposed.toml").write_text("focal = 43.2666\n")
    source = open_folder(folder)
    assert "camera" in source.inputs and source.load(400).capture.camera.fx == pytest.approx(50, rel=1e-4)


def test_photographs_are_turned_upright_and_those_of_another_shape_are_left_out_and_named(tmp_path):
    folder = photographs(tmp_path / "vase", count=8, orientation=6)
    picture(30, (60, 60)).save(folder / "square.png")
    picture(31, (60, 80)).save(folder / "larger.png")  # the same shape, upright: of the same camera
    source = open_folder(folder)
    assert source.load(400).capture.shape == (40, 30, 3)
    assert len(source.recording.frames) == 9
    left_out = source.recording.notes[1]
    assert "1 of 10 photographs" in left_out and "square.png: 60x60 px" in left_out


def test_photographs_that_differ_by_a_pixel_are_of_one_camera_whatever_their_shape(tmp_path):
    for k, width in enumerate([300, 299, 301] * 3):  # 0.7475 to 0.7525
        picture(k, (width, 400)).save(tmp_path / f"{k}.png")
    picture(9, (310, 400)).save(tmp_path / "other.png")
    recording = open_folder(tmp_path).recording
    assert {frame.name for frame in recording.frames} == {f"{k}.png" for k in range(9)}
    assert "1 of 10 photographs" in recording.notes[1]


def test_masks_beside_photographs_are_the_objects(tmp_path):
    folder = photographs(tmp_path / "vase")
    (folder / "masks").mkdir()
    for k in range(9):
        mask = np.zeros((30, 40), np.uint8)
        mask[10:20, 5:30] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{k + 1}.png")
    scene = open_folder(folder).load(400)
    assert scene.capture.masks is not None and all(mask.sum() == 255 * 250 for mask in scene.capture.masks.values())
    (folder / "masks" / "3.png").unlink()
    with pytest.raises(SceneError, match=r"3.jpg has no mask \(1 of 9"):
        open_folder(folder).load(400)


def test_too_few_photographs_are_refused_with_their_count(tmp_path):
    with pytest.raises(SceneError, match="3 photographs in it, and 5 are the fewest"):
        open_folder(photographs(tmp_path / "vase", count=3))


def test_numbers_in_names_are_ordered_by_value():
    assert sorted(["10.jpg", "9b.jpg", "2.jpg", "a1.jpg", "A2.jpg"], key=natural) == [
        "2.jpg", "9b.jpg", "10.jpg", "a1.jpg", "A2.jpg"
    ]  # fmt: skip


def test_transforms_without_poses_are_a_scene_without_a_truth(transforms_folder):
    folder = transforms_folder()
    edit(folder / "transforms.json", without_poses)
    source = open_folder(folder)
    scene = source.load(400)
    assert (source.reference, scene.truth.reference) == ("none", "none")
    assert scene.capture.camera is not None and scene.capture.camera.fx == 50.0  # the intrinsics are said
    assert scene.truth.heldout.after == (0, 7)


def test_transforms_without_poses_or_a_focal_length_give_no_intrinsics(transforms_folder):
    folder = transforms_folder(fl_x=None, fl_y=None, cx=None, cy=None)
    edit(folder / "transforms.json", without_poses)
    scene = open_folder(folder).load(400)
    assert scene.capture.camera is None and "no focal length is known" in scene.notes[0]


def test_poses_that_all_coincide_hold_a_place_and_are_no_truth(transforms_folder):
    folder = transforms_folder()
    edit(folder / "transforms.json", lambda raw: [f.update(transform_matrix=opengl(POSES[0])) for f in raw["frames"]])
    source = open_folder(folder)
    assert source.reference == "none" and "all coincide" in source.notes[0]


def test_poses_of_some_frames_alone_are_refused(transforms_folder):
    folder = transforms_folder()
    edit(folder / "transforms.json", lambda raw: raw["frames"][4].pop("transform_matrix"))
    with pytest.raises(SceneError, match=r"04.png.*1 of 9.*give poses to all frames or to none"):
        open_folder(folder).load(400)


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ({}, "unknown"),
        ({"reference": "measured"}, "measured"),
        ({"info": "poses by ARKit, exported from an app"}, "device"),
        ({"applied_by": "COLMAP 3.9"}, "colmap"),
        ({"ply_file_path": "colmap/sparse_pc.ply"}, "unknown"),
        ({"ply_file_path": "polycam.ply"}, "unknown"),
        ({"source": "/home/me/not by colmap/vase"}, "unknown"),
        ({"source": r"C:\my scans\polycam"}, "unknown"),
    ],
)
def test_where_the_poses_come_from_is_what_the_file_says(transforms_folder, said, reference):
    assert open_folder(transforms_folder(**said)).reference == reference


def test_ns_process_data_and_colmap2nerf_are_known_by_what_they_leave_in_frames(transforms_folder):
    folder = transforms_folder()
    edit(
        folder / "transforms.json", lambda raw: [frame.update(colmap_im_id=k) for k, frame in enumerate(raw["frames"])]
    )
    assert open_folder(folder).reference == "colmap"


def test_a_reference_that_nobody_knows_is_refused(transforms_folder):
    with pytest.raises(SceneError, match="`reference` must be one of exact, measured"):
        open_folder(transforms_folder(reference="guess")).load(400)


def test_the_same_pixels_whether_poses_are_there_or_not(transforms_folder):
    folder = transforms_folder(k1=0.05)
    posed = open_folder(folder).load(400)
    raw = json.loads((folder / "transforms.json").read_text())
    without_poses(raw)
    (folder / "transforms.json").write_text(json.dumps(raw))
    bare = open_folder(folder).load(400)
    assert all((bare.capture.images[view] == image).all() for view, image in posed.capture.images.items())
    assert math.isclose(bare.truth.camera.fx, posed.truth.camera.fx)


def test_what_is_asked_for_can_be_pasted(tmp_path):
    """A method that lacks a prior is skipped with the table that it needs, and that table is read."""
    folder = photographs(tmp_path / "vase")
    source = open_folder(folder)
    pasted = source.remedies["prior"].partition("unposed.toml: ")[2]
    (folder / "unposed.toml").write_text(f"focal = 26\n{pasted}\n")
    assert open_folder(folder).inputs == {"camera", "prior"}


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("focl = 26", "did you mean focal"),
        ("[prior]\nazimut = [0, 90]", "did you mean azimuth"),
        ("focal = 1", "than 4"),
    ],
)
def test_a_typo_in_a_card_is_answered_with_what_may_be_meant(tmp_path, line, meant):
    folder = photographs(tmp_path / "vase")
    (folder / "unposed.toml").write_text(line + "\n")
    with pytest.raises(SceneError, match=meant):
        open_folder(folder)
