"""Layouts of published sets, each written as its authors' files are, from cameras that are known."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import SIZE, cam, co3d_entries, pictures, tum, write_colmap, write_log, write_navi, write_tum
from scipy.spatial.transform import Rotation, Slerp
from written import POSES, edit, project

from bench.scene import SceneError
from bench.task import Camera
from datasets.folder import FolderScene, open_folder

CAMERA = Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)


def is_read(folder: Path, layout: str, poses: np.ndarray = POSES, camera: Camera = CAMERA) -> FolderScene:
    source = open_folder(folder)
    assert source.layout.name == layout
    assert np.allclose([frame.pose for frame in source.recording.frames], poses, atol=1e-9)
    ours, given = source.recording.optics.camera, camera
    assert np.allclose([ours.fx, ours.fy, ours.cx, ours.cy], [given.fx, given.fy, given.cx, given.cy])
    assert source.load(32).capture.images
    return source


def test_tum_rgbd_is_read_at_the_times_of_its_images(tmp_path):
    """Poses come at times of their own: each image's is half-way between two of them."""
    folder = write_tum(tmp_path / "desk")
    ten = np.concatenate([POSES, POSES[:1]])
    expected = np.tile(np.eye(4), (9, 1, 1))
    expected[:, :3, 3] = (ten[:-1, :3, 3] + ten[1:, :3, 3]) / 2
    turns = Slerp(np.arange(10), Rotation.from_matrix(ten[:, :3, :3]))
    expected[:, :3, :3] = turns(np.arange(9) + 0.5).as_matrix()
    source = open_folder(folder)
    assert np.allclose([frame.pose for frame in source.recording.frames], expected, atol=1e-4)  # times in us
    assert source.reference == "measured"


def test_a_tum_trajectory_names_views_by_their_numbers_and_a_calibration_lies_beside(tmp_path):
    folder = tmp_path / "mine"
    pictures(folder, [f"images/v{k:03d}.png" for k in range(9)])
    (folder / "poses.tum").write_text(tum(POSES[:8], list(range(8))))
    (folder / "calib.txt").write_text("50 51 21 14\n")
    source = is_read(folder, "tum", POSES[:8])
    assert source.notes == ("1 of 9 images have no pose within 0.02 s and are left out",)
    (folder / "calib.txt").write_text("50 0 21\n0 51 14\n0 0 1\n")
    is_read(folder, "tum", POSES[:8])


def test_tanks_and_temples_logs_are_read(tmp_path):
    folder = write_log(tmp_path / "Barn")
    assert is_read(folder, "log").reference == "colmap"
    (folder / "unposed.toml").unlink()
    with pytest.raises(SceneError, match="poses and no focal length; say `focal = 26`"):
        open_folder(folder).load(32)
    (folder / "unposed.toml").write_text("camera = {fl_x = 50, fl_yy = 51}\n")
    with pytest.raises(SceneError, match="a camera has no 'fl_yy'; did you mean fl_y"):
        open_folder(folder)


def test_an_image_of_tanks_and_temples_that_was_not_placed_is_left_out(tmp_path):
    """The authors' converter writes `k -1 0` and the identity matrix for it."""
    folder = write_log(tmp_path / "Barn")
    (path,) = folder.glob("*.log")
    lines = path.read_text().splitlines()
    eye = [" ".join(map(str, row)) for row in np.eye(4)]
    for k in (0, 4):
        lines[5 * k : 5 * k + 5] = [f"{k} -1 0", *eye]
    path.write_text("\n".join(lines))
    source = is_read(folder, "log", POSES[[1, 2, 3, 5, 6, 7, 8]])
    assert "2 of 9 images have no pose and are left out" in source.notes
    path.write_text("\n".join(line for k in range(9) for line in (f"{k} -1 0", *eye)))
    with pytest.raises(SceneError, match="says of every image that it has no pose"):
        open_folder(folder).load(32)


@pytest.mark.parametrize("form", ["ndc_norm_image_bounds", "ndc_isotropic", None])
def test_a_point_is_where_pytorch3ds_formulas_put_it(tmp_path, form):
    """Documented: X_camera = X_world R + T, x left and y up; the image spans [1, -1] from left to right and from top to
    bottom (its shorter side does in ndc_isotropic). CO3D's default, where a file does not say, is the image's sides."""
    rng = np.random.default_rng(0)
    turn, T = Rotation.random(random_state=1).as_matrix(), np.array([0.3, -0.2, 4.0])
    focal, middle = np.array([2.1, 2.7]), np.array([0.11, -0.07])
    viewpoint = {
        "R": turn.tolist(),
        "T": T.tolist(),
        "focal_length": focal.tolist(),
        "principal_point": middle.tolist(),
    }
    viewpoint |= {"intrinsics_format": form} if form else {}
    folder = tmp_path / "1_2_3"
    pictures(folder, [f"images/frame{k:06d}.png" for k in range(9)])
    image = {"size": [30, 40]}
    entries = [
        {"sequence_name": "1_2_3", "frame_number": k, "viewpoint": viewpoint,
         "image": image | {"path": f"apple/1_2_3/images/frame{k:06d}.png"}}
        for k in range(9)
    ]  # fmt: skip
    with gzip.open(folder / "frame_annotations.jgz", "wt") as file:
        json.dump(entries, file)
    recording = open_folder(folder).recording
    points = rng.normal(size=(5, 3))
    ours = project(points, recording.frames[0].pose, recording.optics.camera)
    for point, (u, v) in zip(points, ours, strict=True):
        x, y, z = point @ turn + T
        ndc = focal * [x / z, y / z] + middle
        reach = (
            np.array([40 / 30, 1.0]) if form == "ndc_isotropic" else np.ones(2)
        )  # of the image's left and upper edge
        assert np.allclose([u, v], [40 * (1 - ndc[0] / reach[0]) / 2, 30 * (1 - ndc[1] / reach[1]) / 2])


def test_a_point_is_where_navis_own_projection_puts_it(tmp_path):
    """`camera_matrices_from_annotation` of google/navi: translate(t) @ rotate(w, x, y, z), then 2 f x / (w z) + 2 c / w
    - 1 and the same of y, which run from -1 at the left and upper edge to 1."""
    folder = write_navi(tmp_path / "multiview-00-pixel_5")
    recording = open_folder(folder).recording
    entry = json.loads((folder / "annotations.json").read_text())[3]
    w, x, y, z = entry["camera"]["q"]
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    points = np.random.default_rng(0).normal(size=(5, 3))
    for point, ours in zip(points, project(points, recording.frames[3].pose, recording.optics.camera), strict=True):
        X, Y, Z = matrix @ point + entry["camera"]["t"]
        ndc = np.array([2 * 50 / 40 * X / Z + 2 * 20 / 40 - 1, 2 * 50 / 30 * Y / Z + 2 * 15 / 30 - 1])
        assert np.allclose(ours, (ndc + 1) / 2 * [40, 30])


@pytest.mark.parametrize("form", ["ndc_norm_image_bounds", "ndc_isotropic"])
def test_a_sequence_of_co3d_is_read_from_its_category(tmp_path, form):
    """PyTorch3D's cameras: rows, x left and y up, lengths in halves of the image or of its shorter side."""
    category = tmp_path / "apple"
    folder, entries = category / "4_5_6", co3d_entries(("1_2_3", "4_5_6"), form)
    pictures(folder, [f"images/frame{k:06d}.png" for k in range(9)])
    with gzip.open(category / "frame_annotations.jgz", "wt") as file:
        json.dump(entries, file, indent=1)
    source = is_read(folder, "co3d")
    first = source.digest(32)
    for k in range(9):
        (folder / "masks").mkdir(exist_ok=True)
        Image.new("L", SIZE, 255).save(folder / "masks" / f"frame{k:06d}.png")
    assert open_folder(folder).inputs == {"camera", "masks"}
    with gzip.open(category / "frame_annotations.jgz", "wt") as file:
        json.dump(entries[:12], file)
    os.utime(category / "frame_annotations.jgz", (1, 1))
    assert len(open_folder(folder).recording.frames) == 3
    assert open_folder(folder).digest(32) != first
    (category / "frame_annotations.jgz").write_bytes(gzip.compress(b'[{"a": "' + b"x" * 10_000_000))
    with pytest.raises(SceneError, match="is not a JSON list of frames"):
        open_folder(folder).load(32)


def test_navi_is_read_with_its_split_and_its_principal_point(tmp_path):
    folder = write_navi(tmp_path / "multiview-00-pixel_5")
    source = is_read(folder, "navi", camera=Camera(width=40, height=30, fx=50, fy=50, cx=20, cy=15))
    assert [k for k, frame in enumerate(source.recording.frames) if frame.heldout] == [2, 7]


def test_dtus_training_set_shares_its_cameras_among_scans(tmp_path):
    """Images count from 1, cameras from 0, and are for a quarter of the image; seven lights, of which one is full."""
    folder = tmp_path / "Rectified" / "scan24_train"
    pictures(folder, [f"rect_{k + 1:03d}_3_r5000.png" for k in range(9)])
    pictures(folder, [f"rect_{k + 1:03d}_0_r5000.png" for k in range(8, -1, -1)])
    home = tmp_path / "Cameras" / "train"
    home.mkdir(parents=True)
    for k, pose in enumerate(POSES):
        (home / f"{k:08d}_cam.txt").write_text(cam(pose, 0.25))
    assert is_read(folder, "mvsnet").reference == "unknown"
    with pytest.raises(SceneError, match="holds many scans: name one, as Rectified/scan24_train"):
        open_folder(tmp_path)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "", "colmap/sparse/0", "distorted/sparse/0", "dense/0/sparse"])
@pytest.mark.parametrize("binary", [True, False])
def test_a_colmap_model_is_found_where_programs_leave_it(tmp_path, place, binary):
    """Unpadded names are in the order of their numbers; a camera of its own for the last image."""
    folder = write_colmap(tmp_path / "scene", place, binary=binary)
    source = is_read(folder, "colmap")
    own = [frame.optics.camera.fx for frame in source.recording.frames if frame.optics]
    assert own == [50] * 8 + [55]


def test_a_panorama_is_refused_by_the_name_of_its_camera(tmp_path):
    folder = tmp_path / "pano"
    pictures(folder, [f"images/{k}.png" for k in range(9)])
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "sparse" / "0" / "cameras.txt").write_text("1 EQUIRECTANGULAR 40 30 40 30\n")
    (folder / "sparse" / "0" / "images.txt").write_text("1 1 0 0 0 0 0 0 1 0.png\n\n")
    with pytest.raises(SceneError, match="camera 1 is EQUIRECTANGULAR, which no pinhole camera can show"):
        open_folder(folder).load(32)


def test_a_transforms_file_of_another_place_or_size_is_read_where_its_images_are(transforms_folder):
    folder = transforms_folder()
    edit(
        folder / "transforms.json",
        lambda raw: [f.update(file_path=f"C:\\me\\scene\\images\\{k:02d}.png") for k, f in enumerate(raw["frames"])],
    )
    (note,) = is_read(folder, "transforms").notes
    assert "9 of 9 frames name a file that is not there (C:\\me\\scene\\images\\00.png)" in note
    (folder / "images_2").mkdir()
    for path in (folder / "images").iterdir():
        Image.open(path).resize((20, 15)).save(folder / "images_2" / path.name)
    shutil.rmtree(folder / "images")
    half = is_read(folder, "transforms", camera=CAMERA.resized(20, 15))
    assert "those of the same name in images_2/ are read" in half.notes[0]


def test_frames_in_unpadded_names_are_in_the_order_of_their_numbers_and_val_is_held_out(transforms_folder):
    folder = transforms_folder()
    for k in range(9):
        (folder / "images" / f"{k:02d}.png").rename(folder / "images" / f"{k + 5}.PNG")

    def change(raw):
        for k, frame in enumerate(raw["frames"]):
            frame.update(file_path=f"images/{k + 5}.png", split="val" if k == 4 else "train")
        raw["frames"].reverse()

    edit(folder / "transforms.json", change)
    frames = is_read(folder, "transforms").recording.frames
    assert [frame.heldout for frame in frames] == [k == 4 for k in range(9)]


def test_files_split_by_a_program_are_as_true_as_it_says(transforms_folder):
    folder = transforms_folder()
    raw = json.loads((folder / "transforms.json").read_text())
    for split, frames in (("train", raw["frames"][1:]), ("val", raw["frames"][:1])):
        (folder / f"transforms_{split}.json").write_text(json.dumps({**raw, "frames": frames}))
    (folder / "transforms.json").unlink()
    assert is_read(folder, "blender", np.roll(POSES, -1, axis=0)).reference == "unknown"


@pytest.mark.parametrize(
    ("left", "said"), [("keyframes/images/1.jpg", "ns-process-data polycam"), ("database.db", "colmap mapper")]
)
def test_what_other_programs_leave_is_called_by_its_name(tmp_path, left, said):
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).write_bytes(b"")
    with pytest.raises(SceneError, match=said):
        open_folder(tmp_path)
