"""Inputs of the shapes that people bring, each with the right value: what was refused, or misread without a word."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from written import POSES, edit, opengl, picture

from bench.poses_io.colmap import read_model
from bench.task import Camera
from datasets.folder import open_folder
from datasets.images.lens import Distortion, Fisheye, Optics, pinhole_for
from datasets.loaders.colmap import ColmapBend

SIZE = (40, 30)


def loaded(folder, side=400):
    return open_folder(folder).load(side)


def test_files_that_were_split_keep_the_intrinsics_of_the_whole(transforms_folder, tmp_path):
    whole = loaded(transforms_folder(k1=0.01)).truth.camera
    folder, raw = tmp_path / "scene", json.loads((tmp_path / "scene" / "transforms.json").read_text())
    for split, frames in (("train", raw["frames"][1:]), ("test", raw["frames"][:1])):
        (folder / f"transforms_{split}.json").write_text(json.dumps({**raw, "camera_angle_x": 0.76, "frames": frames}))
    (folder / "transforms.json").unlink()
    source = open_folder(folder)
    assert source.layout.name == "blender"
    assert source.load(400).truth.camera == whole
    assert source.recording.optics.bend == Distortion(k1=0.01)


def test_an_alpha_that_is_opaque_in_every_image_is_no_alpha(transforms_folder):
    folder = transforms_folder()
    plain = loaded(folder)
    for path in (folder / "images").iterdir():
        Image.open(path).convert("RGBA").save(path)
    opaque = loaded(folder)
    assert opaque.capture.masks is None and opaque.capture.background is None
    assert all((opaque.capture.images[view] == image).all() for view, image in plain.capture.images.items())
    cut = Image.open(folder / "images" / "07.png")
    cut.putpixel((3, 4), (0, 0, 0, 0))
    cut.save(folder / "images" / "07.png")
    assert loaded(folder).capture.background == (1.0, 1.0, 1.0)


def test_a_focal_length_that_breathes_is_one_camera_by_its_median(transforms_folder):
    folder = transforms_folder()
    focal = [50.0 + 0.05 * k for k in range(9)]
    edit(
        folder / "transforms.json",
        lambda raw: [frame.update(fl_x=f, fl_y=f) for frame, f in zip(raw["frames"], focal, strict=True)],
    )
    scene = loaded(folder)
    assert scene.truth.camera == Camera(width=40, height=30, fx=50.2, fy=50.2, cx=21, cy=14)
    assert any("the median is taken" in note for note in scene.notes)


def test_several_cameras_are_brought_to_one(transforms_folder):
    """An image of the plain z = 1 through either camera shows the same colours at the same directions."""
    folder = transforms_folder()
    first = Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)
    second = Camera(width=60, height=44, fx=70, fy=70, cx=30, cy=22)
    for k in range(9):
        x, y, _ = np.moveaxis((second if k == 4 else first).directions(), -1, 0)
        grey = np.clip(128 + 150 * x + 90 * y, 0, 255)[..., None].repeat(3, axis=-1)
        Image.fromarray(grey.round().astype(np.uint8)).save(folder / "images" / f"{k:02d}.png")
    own = {"w": 60, "h": 44, "fl_x": 70, "fl_y": 70, "cx": 30, "cy": 22}
    edit(folder / "transforms.json", lambda raw: raw["frames"][4].update(own))
    scene = loaded(folder)
    assert any("2 cameras" in note for note in scene.notes)
    every = np.stack([*scene.capture.images.values()]).astype(int)
    assert np.abs(every - every[0]).max() <= 2


def test_intrinsics_for_the_full_size_are_scaled_to_the_images(transforms_folder):
    scene = loaded(transforms_folder(w=80, h=60, fl_x=100.0, fl_y=102.0, cx=42.0, cy=28.0))
    assert scene.truth.camera == Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)
    assert any("scaled to the images of 40x30 px" in note for note in scene.notes)


def turned(folder, orientation):
    """Store every image as a camera held upright does: lying, with the EXIF orientation that stands it up."""
    exif = Image.Exif()
    exif[274] = orientation
    for k in range(9):
        picture(k, SIZE).transpose(Image.Transpose.ROTATE_90).save(folder / "images" / f"{k:02d}.jpg", exif=exif)
        (folder / "images" / f"{k:02d}.png").unlink()
    edit(
        folder / "transforms.json",
        lambda raw: [frame.update(file_path=frame["file_path"].replace("png", "jpg")) for frame in raw["frames"]],
    )


def test_a_photograph_is_turned_as_exif_says_where_its_intrinsics_are_for_that(transforms_folder):
    folder = transforms_folder()
    turned(folder, 6)
    scene = loaded(folder)
    assert scene.capture.shape == (30, 40, 3)
    expected = np.asarray(picture(1, SIZE).convert("RGB"), dtype=int)  # frame 1 is the first that is shown
    nearest = min(np.abs(image.astype(int) - expected).mean() for image in scene.capture.images.values())
    assert nearest < 60  # JPEG of noise; another frame or another turn differs by 85


def test_a_huge_photograph_is_read_and_shrunk(transforms_folder):
    folder = transforms_folder(fl_x=12_000.0, fl_y=12_000.0, cx=8160.0, cy=6120.0, w=16320, h=12240)
    Image.new("RGB", (16320, 12240), (10, 200, 30)).save(folder / "images" / "00.jpg")
    (folder / "images" / "00.png").unlink()
    for k in range(1, 9):
        (folder / "images" / f"{k:02d}.png").unlink()
        (folder / "images" / f"{k:02d}.jpg").hardlink_to(folder / "images" / "00.jpg")
    edit(
        folder / "transforms.json",
        lambda raw: raw.update(frames=[{**f, "file_path": f["file_path"][:-4]} for f in raw["frames"][:2]]),
    )
    source = open_folder(folder)
    assert source.inputs == {"camera"}
    assert source.load(64).capture.shape == (48, 64, 3)


def test_an_image_of_a_billion_pixels_is_refused_in_a_sentence(transforms_folder, tmp_path):
    folder = transforms_folder()
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    )
    (folder / "images" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    edit(folder / "transforms.json", lambda raw: [raw.pop(key) for key in ("w", "h")])
    with pytest.raises(ValueError, match="100000x100000 px"):
        loaded(folder)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "I;16", "1"])
def test_grey_palette_cmyk_and_16_bits_are_read(transforms_folder, mode):
    folder = transforms_folder()
    for k in range(9):
        image = Image.new("L", SIZE, 100)
        image.putpixel((5, 5), 150)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        elif mode != "L":
            image = image.convert(mode)
        if mode == "CMYK":
            (folder / "images" / f"{k:02d}.png").unlink()
            image.save(folder / "images" / f"{k:02d}.jpg", quality=100)
        else:
            image.save(folder / "images" / f"{k:02d}.png")
    edit(
        folder / "transforms.json",
        lambda raw: [frame.update(file_path=frame["file_path"][:-4]) for frame in raw["frames"]],
    )
    image = next(iter(loaded(folder).capture.images.values()))
    if mode != "1":
        assert np.abs(image.astype(int).mean() - 100) < 3


def test_heic_is_called_by_its_name(transforms_folder):
    folder = transforms_folder()
    (folder / "images" / "00.png").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(ValueError, match="is HEIC, whatever its name says"):
        loaded(folder)


def test_an_absolute_path_inside_and_another_unicode_form_are_found(transforms_folder):
    folder = transforms_folder()
    (folder / "images" / "03.png").rename(folder / "images" / "Cafe\u0301.png")

    def change(raw):
        raw["frames"][3]["file_path"] = "images/Caf\u00e9.png"
        raw["frames"][4]["file_path"] = str(folder / "images" / "04.png")

    edit(folder / "transforms.json", change)
    assert len(loaded(folder).truth.poses) == 7


def colmap_folder(folder, model="PINHOLE", params="50 51 21 14", point_lines=True):
    (folder / "images").mkdir(parents=True)
    (folder / "sparse" / "0").mkdir(parents=True)
    from scipy.spatial.transform import Rotation

    lines = []
    for k, pose in enumerate(POSES):
        picture(k, SIZE).save(folder / "images" / f"{k:02d}.png")
        inverse = np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        lines.append(" ".join(map(str, [k + 1, w, x, y, z, *inverse[:3, 3], 1, f"{k:02d}.png"])))
        lines += [""] if point_lines else []
    (folder / "sparse" / "0" / "cameras.txt").write_text(f"1 {model} 40 30 {params}\n")
    (folder / "sparse" / "0" / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "sparse" / "0" / "points3D.txt").write_text("")
    return folder


@pytest.mark.parametrize("point_lines", [True, False])
def test_a_colmap_model_beside_its_images_is_a_scene(tmp_path, point_lines):
    folder = colmap_folder(tmp_path / "gs", point_lines=point_lines)
    recording = open_folder(folder).recording
    assert recording.optics.camera == Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)
    assert [frame.name for frame in recording.frames] == [f"{k:02d}.png" for k in range(9)]
    assert np.allclose([frame.pose for frame in recording.frames], POSES, atol=1e-9)


def test_a_colmap_text_with_some_lines_of_points_is_never_half_read(tmp_path):
    folder = colmap_folder(tmp_path / "gs", point_lines=False) / "sparse" / "0"
    text = (folder / "images.txt").read_text().splitlines()
    (folder / "images.txt").write_text("\n".join([text[0], "1.5 2.5 -1", *text[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"9 images but 1 lines of points; each image takes two lines"):
        read_model(folder)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_RADIAL", [50, 21, 14, 0.05]), ("RADIAL", [50, 21, 14, 0.05, -0.02]),
        ("OPENCV", [50, 51, 21, 14, 0.05, -0.02, 0.003, -0.004]),
        ("FULL_OPENCV", [50, 51, 21, 14, 0.05, -0.02, 0.003, -0.004, 0.01, 0.02, -0.03, 0.01]),
        ("OPENCV_FISHEYE", [50, 51, 21, 14, 0.05, -0.02, 0.003, -0.004]),
        ("RADIAL_FISHEYE", [50, 21, 14, 0.05, -0.02]), ("SIMPLE_RADIAL_FISHEYE", [50, 21, 14, 0.05]),
        ("FOV", [50, 51, 21, 14, 0.3]),
        ("THIN_PRISM_FISHEYE", [50, 51, 21, 14, 0.05, -0.02, 0.003, -0.004, 0.01, 0.002, 0.001, 0.001]),
    ],
)  # fmt: skip
def test_every_lens_of_colmap_bends_as_colmap_says(tmp_path, model, params):
    import pycolmap

    folder = colmap_folder(tmp_path / "gs", model=model, params=" ".join(map(str, params)))
    optics = open_folder(folder).recording.optics
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.35, 0.35, 7), np.linspace(-0.25, 0.25, 5)))
    theirs = pycolmap.Camera(model=model, width=40, height=30, params=params)
    seen = np.asarray(theirs.img_from_cam(np.stack([x, y, np.ones_like(x)], axis=-1)))
    bent = optics.bend(x, y)
    ours = np.stack([optics.camera.fx * bent[0] + optics.camera.cx, optics.camera.fy * bent[1] + optics.camera.cy], -1)
    assert np.allclose(ours, seen, atol=1e-6)
    assert isinstance(optics.bend, Distortion | Fisheye | ColmapBend)


def test_a_fisheye_is_undone_into_a_pinhole_that_shows_only_what_it_saw():
    lens = Optics(camera=Camera(width=160, height=120, fx=80, fy=80, cx=80, cy=60), bend=Fisheye(k1=0.01))
    pinhole = pinhole_for([lens])
    x, y, _ = np.moveaxis(pinhole.directions(), -1, 0)
    bent = Fisheye(k1=0.01)(x, y)
    assert np.abs(80 * bent[0]).max() <= 81 and np.abs(80 * bent[1]).max() <= 61  # a pixel may be repeated at the edge


def neus_folder(folder, masks=True):
    (folder / "image").mkdir(parents=True)
    K = np.array([[50.0, 0, 21, 0], [0, 51, 14, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    scale = np.diag([2.0, 2.0, 2.0, 1.0])
    scale[:3, 3] = [0.1, -0.2, 0.3]
    arrays = {}
    for k, pose in enumerate(POSES):
        picture(k, SIZE).save(folder / "image" / f"{k:03d}.png")
        world = pose.copy()
        world[:3, 3] = scale[:3, :3] @ pose[:3, 3] + scale[:3, 3]  # before it was brought into the unit sphere
        arrays |= {f"world_mat_{k}": K @ np.linalg.inv(world), f"scale_mat_{k}": scale}
    if masks:
        (folder / "mask").mkdir()
        for k in range(9):
            Image.new("L", SIZE, 255 if k else 128).save(folder / "mask" / f"{k:03d}.png")
    np.savez(folder / "cameras_sphere.npz", **arrays)
    return folder


def test_neus_is_read_in_the_frame_of_its_unit_sphere_with_its_masks(tmp_path):
    source = open_folder(neus_folder(tmp_path / "neus"))
    assert source.inputs == {"camera", "masks"}
    recording = source.recording
    assert np.allclose([frame.pose for frame in recording.frames], POSES, atol=1e-9)
    camera = recording.optics.camera
    assert np.allclose([camera.fx, camera.fy, camera.cx, camera.cy], [50, 51, 21, 14])
    scene = source.load(400)
    assert scene.capture.background is None
    assert scene.capture.masks is not None and all((mask == 255).all() for mask in scene.capture.masks.values())


def test_idrs_layout_of_scan24_has_the_truth_of_monosdfs(data_root, tmp_path):
    """Written from transforms.json, whose poses are somebody else's, with MonoSDF's own scale_mat, as IDR ships it."""
    theirs = open_folder(data_root / "transforms" / "dtu_scan24_384").recording
    monosdf = open_folder(data_root / "dtu" / "scan24_monosdf").recording
    with np.load(data_root / "dtu" / "scan24_monosdf" / "cameras.npz") as arrays:
        scale = arrays["scale_mat_0"].astype(np.float64)
    K = np.eye(4)
    K[:3, :3] = theirs.optics.camera.matrix
    folder, arrays = tmp_path / "dtu_scan24", {}
    (folder / "image").mkdir(parents=True)
    for k, frame in enumerate(theirs.frames):
        (folder / "image" / f"{k:06d}{frame.image.suffix}").symlink_to(frame.image)
        arrays |= {f"world_mat_{k}": 7 * K @ np.linalg.inv(frame.pose) @ np.linalg.inv(scale), f"scale_mat_{k}": scale}
    np.savez(folder / "cameras_sphere.npz", **arrays)
    source = open_folder(folder)
    assert source.layout.name == "neus" and len(source.recording.frames) == len(monosdf.frames) == 49
    for ours, other in zip(source.recording.frames, monosdf.frames, strict=True):
        assert np.abs(ours.pose - other.pose).max() < 1e-6
    assert np.allclose(source.recording.optics.camera.matrix, monosdf.optics.camera.matrix, atol=1e-4)


def test_who_measured_the_poses_of_neus_files_is_for_a_card_to_say(tmp_path):
    """Anybody's COLMAP cameras come as `cameras_sphere.npz` too: by its preprocessing of custom data."""
    folder = neus_folder(tmp_path / "neus")
    assert open_folder(folder).reference == "unknown"
    (folder / "unposed.toml").write_text('reference = "measured"\n')
    assert open_folder(folder).reference == "measured"


def test_neus_without_a_mask_for_each_image_is_refused(tmp_path):
    folder = neus_folder(tmp_path / "neus")
    (folder / "mask" / "004.png").unlink()
    with pytest.raises(ValueError, match="has 8 masks for 9 images"):
        open_folder(folder).load(64)


def test_two_copies_of_dtu_agree(data_root, tmp_path):
    """The same scan in NeuS's layout, written from another copy of its cameras, and as transforms.json."""
    theirs = open_folder(data_root / "transforms" / "dtu_scan24_384").recording
    folder = tmp_path / "scan24"
    (folder / "image").mkdir(parents=True)
    arrays = {}
    for k, frame in enumerate(theirs.frames):
        (folder / "image" / f"{k:03d}.png").write_bytes(frame.image.read_bytes())
        K = np.eye(4)
        K[:3, :3] = theirs.optics.camera.matrix
        arrays[f"world_mat_{k}"] = K @ np.linalg.inv(frame.pose)
    np.savez(folder / "cameras.npz", **arrays)
    ours = open_folder(folder).recording
    assert np.abs(np.stack([f.pose for f in ours.frames]) - np.stack([f.pose for f in theirs.frames])).max() < 1e-6
    assert np.allclose(ours.optics.camera.matrix, theirs.optics.camera.matrix, atol=1e-6)


def test_mvsnet_is_read_at_the_size_of_its_images(tmp_path):
    folder = tmp_path / "scan9"
    (folder / "cams").mkdir(parents=True)
    (folder / "images").mkdir()
    for k, pose in enumerate(POSES):
        picture(k, SIZE).save(folder / "images" / f"{k:08d}.png")
        rows = "\n".join(" ".join(map(str, row)) for row in np.linalg.inv(pose))
        K = "12.5 0 5.25\n0 12.75 3.5\n0 0 1"  # of a quarter of the size, as MVSNet's files are
        (folder / "cams" / f"{k:08d}_cam.txt").write_text(f"extrinsic\n{rows}\n\nintrinsic\n{K}\n\n425 2.5\n")
    recording = open_folder(folder).recording
    assert np.allclose([frame.pose for frame in recording.frames], POSES, atol=1e-9)
    assert recording.optics.camera == Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)


def test_a_ring_that_was_turned_upright_is_turned_back(data_root):
    """The two copies of Middlebury's temple: one as it was taken, lying, the other stood upright by whoever kept it."""
    sparse = open_folder(data_root / "middlebury" / "templeSparseRing")
    ring = open_folder(data_root / "middlebury" / "templeRing")
    assert {frame.turn for frame in sparse.recording.frames} == {0}
    compared = 0
    for frame in sparse.recording.frames:  # their worlds are apart by a shift: turned alike and side by side, the same
        near = [other for other in ring.recording.frames if np.allclose(other.pose[:3, :3], frame.pose[:3, :3])]
        for other in near:
            with Image.open(frame.image) as taken, Image.open(other.image) as stood:
                assert (np.rot90(np.asarray(stood), other.turn) == np.asarray(taken)).all(), other.name
            compared += 1
    assert compared >= 12 and {frame.turn for frame in ring.recording.frames} == {1, 3}
    assert ring.load(64).capture.shape == sparse.load(64).capture.shape == (48, 64, 3)
    assert any("turned back" in note for note in ring.load(64).notes)


def test_opengl_is_what_the_written_folders_use():
    assert np.allclose(np.array(opengl(POSES[0])) @ np.diag([1, -1, -1, 1]), POSES[0])
