"""Each form of pose poses_io, held against programs that read it too: pycolmap, evo, and the loader of scenes."""

import json
import math
import shutil

import numpy as np
import pycolmap
import pytest
from PIL import Image

from bench import poses_io
from bench.poses_io import FORMS
from bench.task import Camera, PosePrior, ViewId
from datasets.folder import open_folder

VIEWS = [ViewId(f"v{k:03d}") for k in (0, 3, 7, 12, 104)]
POSES = dict(zip(VIEWS, PosePrior().sample(np.random.default_rng(0), len(VIEWS)), strict=True))
CAMERA = Camera(width=64, height=48, fx=70.1, fy=71.25, cx=31.5, cy=24.25)


def write(form, folder):
    return FORMS[form].write(folder, POSES, CAMERA, {view: f"images/{view}.png" for view in POSES})


def said(path):
    """The one sentence with which a file is refused."""
    with pytest.raises(ValueError, match=r"\S") as refusal:
        poses_io.read(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_recognised_and_read_back(tmp_path, form):
    path = write(form, tmp_path)
    assert poses_io.recognise(path).name == form
    reading = poses_io.read(path)
    assert list(reading.estimate.poses) == VIEWS
    for view, pose in POSES.items():
        np.testing.assert_allclose(reading.estimate.poses[view], pose, atol=1e-14)
    assert reading.estimate.camera == (None if form == "tum" else CAMERA)
    assert not reading.notes


def test_pycolmap_reads_what_is_written(tmp_path):
    model = pycolmap.Reconstruction(write("colmap", tmp_path))
    assert model.num_reg_images() == len(POSES)
    assert model.cameras[1].params.tolist() == [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]
    for image in model.images.values():
        np.testing.assert_allclose(image.projection_center(), POSES[image.name[:-4]][:3, 3], atol=1e-12)
        np.testing.assert_allclose(image.viewing_direction(), POSES[image.name[:-4]][:3, 2], atol=1e-12)


def test_the_loader_of_scenes_opens_what_is_written(tmp_path):
    write("transforms", tmp_path)
    (tmp_path / "images").mkdir()
    for view in POSES:
        Image.new("RGB", (CAMERA.width, CAMERA.height)).save(tmp_path / "images" / f"{view}.png")
    recording = open_folder(tmp_path).recording
    assert recording.optics.camera == CAMERA
    for frame in recording.frames:
        np.testing.assert_allclose(frame.pose, POSES[frame.image.stem], atol=1e-12)


@pytest.mark.parametrize("suffix", ["bin", "txt"])
def test_a_model_as_colmap_leaves_it_is_read_without_its_points(tmp_path, suffix):
    """Two cameras with distortion, of an image larger than ours; the points file is cut short."""
    model = pycolmap.Reconstruction()
    for k, focal in ((1, 140.0), (2, 144.0)):
        camera = pycolmap.Camera(
            model="SIMPLE_RADIAL", width=128, height=96, params=[focal, 64.0, 48.0, 0.01], camera_id=k
        )
        model.add_camera_with_trivial_rig(camera)
    for k, (view, pose) in enumerate(POSES.items()):
        image = pycolmap.Image(name=f"sub/{view}.png", camera_id=1 + k % 2, image_id=k + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose[:3]).inverse())
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    (model.write_binary if suffix == "bin" else model.write_text)(folder)
    (folder / f"points3D.{suffix}").write_bytes(b"\1\0\0\0")
    reading = poses_io.read(tmp_path)
    assert reading.estimate.camera == Camera(width=128, height=96, fx=140.0, fy=140.0, cx=64.0, cy=48.0)
    assert reading.notes == {"distortion_dropped": "k=0.01", "intrinsics": "medians of 5 that differ by view"}
    for view, pose in POSES.items():
        np.testing.assert_allclose(reading.estimate.poses[view], pose, atol=1e-12)


def test_a_camera_may_be_said_by_every_frame(tmp_path):
    path = write("transforms", tmp_path)
    raw = json.loads(path.read_text())
    lens = {key: raw.pop(key) for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")}
    for k, frame in enumerate(raw["frames"]):
        frame |= lens | {"fl_x": 70.0 + k}
    path.write_text(json.dumps(raw))
    reading = poses_io.read(path)
    assert reading.estimate.camera == Camera(width=64, height=48, fx=72.0, fy=71.25, cx=31.5, cy=24.25)
    assert "differ by view" in str(reading.notes["intrinsics"])


@pytest.mark.parametrize("axes", ["xy", "x", "y"])
def test_a_focal_length_may_be_an_angle_alone(tmp_path, axes):
    path = write("transforms", tmp_path)
    raw = json.loads(path.read_text())
    sizes = {"x": (raw["w"], raw.pop("fl_x")), "y": (raw["h"], raw.pop("fl_y"))}
    raw |= {
        f"camera_angle_{axis}": 2 * math.atan(size / 2 / focal) for axis, (size, focal) in sizes.items() if axis in axes
    }
    path.write_text(json.dumps(raw))
    camera = poses_io.read(path).estimate.camera
    (_, fx), (_, fy) = (sizes[axis if axis in axes else axes] for axis in "xy")
    assert camera is not None and np.allclose([camera.fx, camera.fy], [fx, fy], rtol=1e-12)


def test_tum_takes_comments_blank_lines_and_written_out_stamps(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# t x y z\n\n12.000000 1 2 3 0 0 0 1\n3 4 5 6 0 0.70710678 0 0.70710678\n")
    poses = poses_io.read(path).estimate.poses
    assert list(poses) == ["v003", "v012"]
    np.testing.assert_allclose(poses["v012"], [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(poses["v003"][:3, 2], [1, 0, 0], atol=1e-8)  # a quarter turn about y: z looks along x


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n", "line 1 is not `t x y z qx qy qz qw`"),
        ("0 1 2 3 0 0 0 1\n1 nan 2 3 0 0 0 1\n", "line 2"),
        ("0.5 1 2 3 0 0 0 1\n", "number of a view"),
        ("0 1 2 3 0 0 0 0\n", "quaternion of length 0"),
        ("0 1 2 3 0 0 0 1\n0 1 2 3 0 0 0 1\n", "v000 has two poses"),
        ("# nothing\n", "holds no poses"),
    ],
)
def test_a_broken_tum_file_is_refused_with_its_line(tmp_path, text, words):
    path = tmp_path / "poses.tum"
    path.write_text(text)
    assert words in said(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw["frames"][1].update(file_path="images/IMG_1.png"), "'images/IMG_1.png'"),
        (lambda raw: raw["frames"][1].update(file_path="images/v000.png"), "v000 has two poses"),
        (lambda raw: raw["frames"][1]["transform_matrix"][0].__setitem__(0, 3.0), "not a rotation"),
        (lambda raw: raw["frames"][1].pop("transform_matrix"), "no `transform_matrix`"),
        (lambda raw: raw.update(frames=[]), "has no frames"),
        (lambda raw: raw.update(camera_model="OPENCV_FISHEYE"), "OPENCV_FISHEYE is no pinhole"),
        (lambda raw: raw.pop("w"), "`w` must be a number"),
        (lambda raw: (raw.pop("fl_x"), raw.pop("fl_y"), raw["frames"][0].update(fl_x=1.0, w=64, h=48)), "4 frames"),
    ],
)
def test_a_broken_transforms_file_is_refused_in_a_sentence(tmp_path, change, words):
    path = write("transforms", tmp_path)
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    assert words in said(path)


def binary(folder):
    """The same model as binary files."""
    pycolmap.Reconstruction(folder).write_binary(folder)
    for path in folder.glob("*.txt"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "images.txt").write_text("nonsense\nnonsense\n"), "COLMAP cannot read"),
        (lambda f: (f / "cameras.txt").write_text("1 PANORAMA 64 48 70\n"), "COLMAP cannot read"),
        (lambda f: (f / "cameras.txt").write_text("1 OPENCV_FISHEYE 64 48 70 70 32 24 0 0 0 0\n"), "no pinhole"),
        (lambda f: (binary(f), (f / "cameras.bin").write_bytes((f / "cameras.bin").read_bytes()[:40])), "bytes"),
        (lambda f: (binary(f), (f / "images.bin").write_bytes((f / "images.bin").read_bytes()[:90])), "bytes"),
        (lambda f: (f / "cameras.txt").unlink(), "neither it nor sparse/0"),
        (lambda f: shutil.copytree(f, f.with_name("1")), "several models"),
    ],
)
def test_a_broken_colmap_model_is_refused_in_a_sentence(tmp_path, spoil, words):
    spoil(write("colmap", tmp_path))
    assert words in said(tmp_path)


def test_a_part_of_a_model_or_nothing_at_all_is_refused_with_every_reason(tmp_path):
    assert "name its folder" in said(write("colmap", tmp_path) / "images.txt")
    assert "no such file" in said(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert all(f"{form}: " in said(tmp_path / "empty") for form in FORMS)


def colmap_text(folder, *quaternions):
    """A text model of views that are all one metre from the middle, with these quaternions (w, x, y, z)."""
    (folder / "cameras.txt").write_text("1 PINHOLE 64 64 64 64 32 32\n")
    heads = [f"{k + 1} {quaternion} 0 0 1 1 v{k:03d}.png" for k, quaternion in enumerate(quaternions)]
    (folder / "images.txt").write_text("".join(f"{head}\n\n" for head in heads))
    return folder


def test_a_quaternion_of_few_digits_is_a_rotation_and_one_of_another_length_is_refused(tmp_path):
    found = poses_io.read(colmap_text(tmp_path, "0.7071 0.7071 0 0", "1 0 0 0")).estimate.poses
    for pose in found.values():
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.allclose(np.linalg.norm(pose[:3, 3]), 1, atol=1e-12)
    with pytest.raises(ValueError, match=r"the rotation of v001\.png is none: its quaternion has a length of 1\.345"):
        poses_io.read(colmap_text(tmp_path, "1 0 0 0", "0.9 -1 0 0"))


@pytest.mark.parametrize(("name", "at"), [("images.bin", 0), ("images.bin", "points"), ("cameras.bin", 0)])
@pytest.mark.parametrize("count", [3, 10**6, 2**62, 2**64 - 1])
def test_a_binary_model_that_announces_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path, name, at, count):
    import pycolmap

    text, binary = tmp_path / "text", tmp_path / "binary"
    text.mkdir()
    binary.mkdir()
    colmap_text(text, "1 0 0 0", "1 0 0 0")
    (text / "points3D.txt").write_text("")
    pycolmap.Reconstruction(text).write_binary(binary)
    assert len(poses_io.read(binary).estimate.poses) == 2
    held = bytearray((binary / name).read_bytes())
    place = len(held) - 8 if at == "points" else at  # the last image's points are the file's last number
    held[place : place + 8] = count.to_bytes(8, "little")
    (binary / name).write_bytes(held)
    with pytest.raises(ValueError, match=rf"{name}: has \d+ bytes where \d+ are announced"):
        poses_io.read(binary)
