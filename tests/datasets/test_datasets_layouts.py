"""Every layout is read to the letter: axes, intrinsics, splits, alpha, size, distortion."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import fsolve
from skimage.feature import match_descriptors
from written import POSES, edit, opengl, picture, project, sift

from bench.scene import SceneError
from bench.task import Camera
from datasets.folder import open_folder
from datasets.images.decode import darkroom
from datasets.images.lens import Distortion, Optics, pinhole_for, undistort
from datasets.images.resample import area_average, fitted
from datasets.verify import findings

FOX = Distortion(k1=0.0578421, k2=-0.0805099, p1=-0.000980296, p2=0.00015575)


@pytest.mark.parametrize(
    ("written", "heldout", "reference"),
    [
        ("blender_folder", [6, 7, 8], "exact"),
        ("transforms_folder", [0, 8], "unknown"),
        ("llff_folder", [0, 8], "colmap"),
        ("dtu_folder", [0, 8], "unknown"),
        ("middlebury_folder", [0, 8], "measured"),
    ],
)
def test_poses_of_every_layout_are_turned_to_opencv_axes(request, written, heldout, reference):
    scene = open_folder(request.getfixturevalue(written)()).load(400)
    train = [k for k in range(9) if k not in heldout]
    assert np.allclose(scene.truth.heldout.poses, POSES[heldout])
    assert np.allclose([scene.truth.poses[view] for view in scene.truth.order], POSES[train])
    assert scene.truth.reference == reference


@pytest.mark.parametrize("written", ["transforms_folder", "llff_folder", "dtu_folder", "middlebury_folder"])
def test_each_view_keeps_its_own_image_under_its_opaque_id(request, written):
    scene = open_folder(request.getfixturevalue(written)()).load(400)
    assert list(scene.capture.images) == sorted(scene.truth.order) == [f"v{k:03d}" for k in range(7)]
    for k, view in enumerate(scene.truth.order):
        assert (scene.capture.images[view] == np.array(picture(k + 1))).all()
    assert (scene.truth.heldout.images[1] == np.array(picture(8))).all()


def test_images_without_alpha_have_no_masks_and_a_background_of_their_own(transforms_folder):
    source = open_folder(transforms_folder())
    scene = source.load(400)
    assert scene.capture.masks is None and scene.capture.background is None and scene.truth.heldout.masks is None
    assert source.inputs == scene.capture.inputs == {"camera"}


def test_transparent_images_are_composited_on_white_and_give_masks(blender_folder):
    source = open_folder(blender_folder())
    scene = source.load(400)
    view = scene.truth.order[2]
    rgba = np.array(picture(2, (40, 40), "RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    assert np.abs(scene.capture.images[view] - (rgba[..., :3] * alpha + 255 * (1 - alpha))).max() <= 0.51
    assert (scene.capture.masks[view] == rgba[..., 3]).all()
    assert scene.capture.background == (1.0, 1.0, 1.0)
    assert source.inputs == scene.capture.inputs == {"camera", "masks"}


def test_the_focal_length_of_blender_is_half_the_width_over_the_tangent_of_half_the_angle(blender_folder):
    camera = open_folder(blender_folder(size=40, angle=0.7)).load(400).truth.camera
    assert camera == Camera(width=40, height=40, fx=20 / np.tan(0.35), fy=20 / np.tan(0.35), cx=20, cy=20)


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({}, (50, 51, 21, 14)),
        ({"fl_y": None}, (50, 50, 21, 14)),
        ({"cx": None, "cy": None, "w": None, "h": None}, (50, 51, 20, 15)),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 0.8}, (20 / np.tan(0.4), 20 / np.tan(0.4), 21, 14)),
        ({"fl_y": None, "camera_angle_y": 0.6}, (50, 15 / np.tan(0.3), 21, 14)),
        ({"w": 40.0, "h": 30.0, "aabb_scale": 4, "camera_model": "OPENCV", "k1": 0}, (50, 51, 21, 14)),
    ],
)
def test_intrinsics_are_read_in_every_way_they_are_written(transforms_folder, top, expected):
    camera = open_folder(transforms_folder(**top)).load(400).truth.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(expected)
    assert (camera.width, camera.height) == (40, 30)


def test_equal_intrinsics_of_every_frame_are_one_camera(transforms_folder):
    frames = [{"file_path": f"images/{k:02d}.png", "fl_x": 60.0, "fl_y": 60.0} for k in range(9)]
    assert open_folder(transforms_folder(frames=frames, fl_x=None, fl_y=None)).load(400).truth.camera.fx == 60


def test_the_focal_length_of_llff_is_scaled_from_the_originals_to_the_images(llff_folder):
    camera = open_folder(llff_folder(taken=(4032, 3024), focal=3260.5)).load(400).truth.camera
    assert camera == Camera(width=40, height=30, fx=3260.5 * 40 / 4032, fy=3260.5 * 30 / 3024, cx=20, cy=15)


def test_a_rounded_size_of_llff_has_two_focal_lengths(llff_folder):
    """4946 x 3286 px by 25, as tools round it."""
    folder = llff_folder(taken=(4946, 3286), focal=1000.0, sizes={"images_25": (198, 131)})
    camera = open_folder(folder).load(400).truth.camera
    assert (camera.fx, camera.fy) == pytest.approx((198 / 4.946, 131 / 3.286))


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (("images", "images_2", "images_4", "images_8"), "images_4"),  # 400 px: just what `full` shows
        (("images_2", "images", "images_8"), "images_2"),
        (("images_8", "images_16"), "images_8"),  # none is large enough
        (("images",), "images"),
        (("images_400x4", "images"), "images_400x4"),
    ],
)
def test_the_smallest_folder_of_llff_that_no_effort_would_enlarge_is_read(llff_folder, present, chosen):
    widths = {"images": 1600, "images_2": 800, "images_4": 400, "images_8": 200, "images_16": 100, "images_400x4": 400}
    sizes = {name: (widths[name], widths[name] // 100) for name in present}
    source = open_folder(llff_folder(taken=(1600, 16), sizes=sizes))
    (source.folder / "images_1").mkdir()  # empty: not a choice
    (source.folder / "images_small").mkdir()
    (source.folder / chosen / ".DS_Store").write_text("not an image")
    assert {frame.image.parent.name for frame in source.recording.frames} == {chosen}
    assert source.recording.optics.camera.fx == pytest.approx(400 * widths[chosen] / 1600)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((48, 48), (80, 79.6, 24.92, 24.76)),  # 1200 px high and 200 px cropped on either side, by 25
        ((64, 48), (80, 79.6, 32.92, 24.76)),  # all of it
        ((64, 40), (80, 79.6, 32.92, 20.76)),  # 100 px cropped above and below
    ],
)
def test_the_camera_of_dtu_is_cropped_and_scaled_with_the_images(dtu_folder, size, expected):
    camera = open_folder(dtu_folder(size=size)).load(400).truth.camera
    assert (camera.width, camera.height) == size
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(expected)


def test_the_camera_of_middlebury_is_its_own(middlebury_folder):
    camera = open_folder(middlebury_folder()).load(400).truth.camera
    assert camera == Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)


def test_a_place_of_middlebury_that_was_photographed_twice_is_there_once(middlebury_folder):
    """The first view is held out: its copy would show its camera, and nearly its pixels."""
    source = open_folder(middlebury_folder(views=[*range(9), 0]))
    assert [frame.name for frame in source.recording.frames] == [f"mine{k:04d}.png" for k in range(9)]


def test_frames_say_their_split_or_lists_do_or_every_eighth_is_held_out(transforms_folder):
    folder = transforms_folder()
    splits = ["test", "train", "val"] * 3

    def split_frames(raw):
        for frame, split in zip(raw["frames"], splits, strict=True):
            frame["split"] = split

    def list_files(raw):
        raw["train_filenames"] = [f"images/{k:02d}.png" for k in range(6)]
        raw["test_filenames"] = [f"images/{k:02d}.png" for k in range(6, 8)]
        for frame in raw["frames"]:
            del frame["split"]

    def count():
        return Counter(frame.heldout for frame in open_folder(folder).recording.frames)

    assert count() == {False: 7, True: 2}
    edit(folder / "transforms.json", split_frames)
    assert count() == {False: 3, True: 3}
    edit(folder / "transforms.json", list_files)
    assert count() == {False: 6, True: 2}


def test_frames_are_in_the_order_of_their_names_and_extensions_are_completed(transforms_folder):
    frames = [{"file_path": f"images/{k:02d}", "transform_matrix": opengl(POSES[k])} for k in reversed(range(9))]
    scene = open_folder(transforms_folder(frames=frames)).load(400)
    assert np.allclose([scene.truth.poses[view] for view in scene.truth.order], POSES[1:8])


def test_images_are_shrunk_to_the_side_and_never_enlarged(transforms_folder):
    source = open_folder(transforms_folder())
    scene = source.load(20)
    assert scene.capture.shape == (15, 20, 3)
    assert scene.truth.camera == Camera(width=20, height=15, fx=25, fy=25.5, cx=10.5, cy=7)
    blocks = np.array(picture(8)).astype(float).reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(scene.truth.heldout.images[1] - blocks).max() <= 0.51
    assert source.load(4000).capture.shape == (30, 40, 3)
    assert fitted(1080, 1920, 200) == (112, 200) or fitted(1080, 1920, 200) == (113, 200)


def test_area_averages_keep_the_mean_and_weigh_split_pixels_by_their_share():
    image = np.random.default_rng(0).uniform(0, 255, (7, 10, 2)).astype(np.float32)
    small = area_average(image, 4, 3)
    assert small.shape == (3, 4, 2)
    assert np.allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), rtol=1e-5)
    fine = np.repeat(np.repeat(image, 3, axis=0), 4, axis=1)  # 21 x 40: both sizes divide it
    assert np.allclose(small, fine.reshape(3, 7, 4, 10, 2).mean(axis=(1, 3)), rtol=1e-4)


def test_colour_behind_transparent_pixels_does_not_bleed(tmp_path):
    rgba = np.zeros((8, 8, 4), dtype=np.uint8)
    rgba[..., 0] = 255  # red everywhere, seen nowhere
    rgba[:, ::2] = [0, 0, 255, 255]  # blue stripes, opaque
    Image.fromarray(rgba).save(tmp_path / "a.png")
    camera = Camera(width=8, height=8, fx=8, fy=8, cx=4, cy=4)
    image, mask = darkroom(Optics(camera=camera), (1.0, 1.0, 1.0), 4).develop(tmp_path / "a.png", "frame 0")
    assert (np.abs(image.astype(int) - [128, 128, 255]) <= 1).all()
    assert (np.abs(mask.astype(int) - 128) <= 1).all()


def test_the_distortion_is_opencvs():
    """Against the formula of OpenCV's calib3d documentation, written out for one point."""
    x, y, k1, k2, p1, p2 = 0.4, -0.3, 0.1, -0.05, 0.01, -0.02
    r2 = 0.25
    expected = (
        x * (1 + k1 * r2 + k2 * r2**2) + 2 * p1 * x * y + p2 * (r2 + 2 * x**2),
        y * (1 + k1 * r2 + k2 * r2**2) + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y,
    )
    found = Distortion(k1=k1, k2=k2, p1=p1, p2=p2)(np.array(x), np.array(y))
    assert np.allclose(found, expected)


@pytest.mark.parametrize("distortion", [FOX, Distortion(k1=-0.25, k2=0.05), Distortion(k1=0.15, p1=0.004, p2=-0.006)])
def test_points_painted_through_the_lens_are_found_where_a_pinhole_sees_them(distortion):
    """Blobs at distorted places; undistorted, their centroids are the pinhole projections of the same directions."""
    lens = Camera(width=160, height=120, fx=130, fy=128, cx=82.3, cy=57.1)
    optics = Optics(camera=lens, bend=distortion)
    pinhole = pinhole_for([optics])
    targets = np.array([[20.2, 15.7], [80.0, 60.0], [140.4, 20.3], [30.6, 100.2], [141.1, 101.9]])
    row, column = np.indices((120, 160)) + 0.5
    for u, v in targets:
        x, y = (u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy
        xd, yd = distortion(np.array(x), np.array(y))
        back = fsolve(lambda q, xd=xd, yd=yd: np.subtract(distortion(*q), (xd, yd)), (xd, yd))
        assert np.allclose(back, (x, y), atol=1e-9)  # the model is invertible where it is used
        a, b = lens.fx * xd + lens.cx, lens.fy * yd + lens.cy
        image = (255 * np.exp(-((column - a) ** 2 + (row - b) ** 2) / 8)).astype(np.float32)[..., None]
        found = undistort(image, pinhole, optics)[..., 0]
        centroid = (found * column).sum() / found.sum(), (found * row).sum() / found.sum()
        assert np.allclose(centroid, (u, v), atol=0.1)


def test_an_undistorted_image_shows_only_what_the_lens_saw():
    lens = Camera(width=160, height=120, fx=130, fy=130, cx=80, cy=60)
    barrel = Optics(camera=lens, bend=Distortion(k1=-0.2))
    assert pinhole_for([barrel]) == lens  # it loses its corners, and shows nothing unseen
    pincushion = pinhole_for([Optics(camera=lens, bend=Distortion(k1=0.2))])
    corner = (np.array(79.5 / pincushion.fx), np.array(59.5 / pincushion.fy))  # the centre of the last pixel
    x, y = Distortion(k1=0.2)(*corner)
    assert 79.5 < 130 * x <= 81.0 and 59.5 < 130 * y <= 61.0
    assert 1.0 < pincushion.fx / lens.fx < 1.2


def test_a_distortion_that_folds_the_image_is_refused():
    lens = Camera(width=160, height=120, fx=60, fy=60, cx=80, cy=60)
    with pytest.raises(SceneError, match=r"k1=-0\.9.*undistort the images beforehand"):
        pinhole_for([Optics(camera=lens, bend=Distortion(k1=-0.9))])


def test_a_distorted_scene_is_a_pinhole_once_loaded(transforms_folder):
    scene = open_folder(transforms_folder(k1=0.05, k2=0.0, p1=0.001, p2=0.0)).load(400)
    assert scene.capture.shape == (30, 40, 3)
    assert scene.capture.camera == scene.truth.camera


# --- real inputs, against matches that know nothing of the given poses


def _epipolar_error(scene, pair, features, pose_b=None):
    """Median distance, in pixels, of SIFT matches to the epipolar lines of the true poses."""
    (points_a, a), (points_b, b) = features
    matches = match_descriptors(a.astype(float), b.astype(float), max_ratio=0.7, cross_check=True)
    assert len(matches) > 25
    pose_a, pose_b = scene.truth.poses[pair[0]], scene.truth.poses[pair[1]] if pose_b is None else pose_b
    b_from_a = np.linalg.inv(pose_b) @ pose_a
    x, y, z = b_from_a[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a[:3, :3]
    camera_from_pixel = np.linalg.inv(scene.truth.camera.matrix)
    fundamental = camera_from_pixel.T @ essential @ camera_from_pixel
    lines = np.column_stack([points_a[matches[:, 0]], np.ones(len(matches))]) @ fundamental.T
    ends = np.column_stack([points_b[matches[:, 1]], np.ones(len(matches))])
    return np.median(np.abs((lines * ends).sum(axis=1)) / np.hypot(lines[:, 0], lines[:, 1]))


def _excerpt(folder, first):
    """The source of seven consecutive frames alone, the first of them held out."""
    source = open_folder(folder)

    def read(folder):
        recording = source.layout.read(folder)
        frames = [replace(frame, heldout=k == 0) for k, frame in enumerate(recording.frames[first : first + 7])]
        return replace(recording, frames=tuple(frames))

    return replace(source, layout=replace(source.layout, read=read))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("transforms/fox_480", 9),
        ("transforms/dtu_scan24_384", 9),
        ("nerf_llff_data/fern", 9),
        ("dtu/scan24_monosdf", 9),
        ("middlebury/templeSparseRing", 5),
    ],
)
def test_matches_lie_on_the_epipolar_lines_of_the_given_poses(data_root, tmp_path, name, first):
    """Three consecutive frames of the real set, and a fourth whose pose is deliberately the wrong one."""
    scene = _excerpt(data_root / name, first).load(400)
    a, b, c, *_, wrong = scene.truth.order
    found = sift(np.stack([scene.capture.images[view] for view in (a, b, c)]), tmp_path)
    assert _epipolar_error(scene, (a, b), found[:2]) < 0.6
    assert _epipolar_error(scene, (b, c), found[1:]) < 0.6
    assert _epipolar_error(scene, (a, b), found[:2], scene.truth.poses[wrong]) > 3


@pytest.fixture(scope="module")
def chair(data_root):
    return open_folder(data_root / "nerf_synthetic" / "chair").load(64)


def test_the_chair_is_seen_from_radius_4_and_stands_in_the_middle(chair):
    assert len(chair.capture.images) == 100 and len(chair.truth.heldout.ids) == 25
    assert chair.capture.prior is not None and chair.capture.prior.elevation_by == "area"
    for view, pose in list(chair.truth.poses.items())[:20]:
        assert np.linalg.norm(pose[:3, 3]) == pytest.approx(4.0311, abs=1e-3)
        assert np.allclose(project(np.zeros((1, 3)), pose, chair.truth.camera), 32, atol=1e-2)
        assert chair.capture.masks[view][28:36, 28:36].any()


@pytest.mark.parametrize(
    ("flip", "low", "high"), [([1, 1, 1], 0.8, 1.0), ([-1, 1, 1], 0.0, 0.6), ([1, -1, -1], 0.0, 0.6)]
)
def test_the_chair_fills_its_own_visual_hull_unless_axes_are_flipped(chair, flip, low, high):
    """A hull carved by 40 silhouettes, seen from elsewhere, is the silhouette again: overlap over union."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1.1, 1.1, 40)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    views = list(chair.truth.poses)

    def pixels(view, points):
        pose = chair.truth.poses[view]
        in_camera = (points - pose[:3, 3]) @ pose[:3, :3] * flip
        return np.clip((in_camera[:, :2] / np.abs(in_camera[:, 2:]) * chair.truth.camera.fx + 32).astype(int), 0, 63)

    for view in views[:40]:
        u, v = pixels(view, grid).T
        grid = grid[chair.capture.masks[view][v, u] > 0]
    scores = []
    for view in views[60:70]:
        u, v = pixels(view, grid).T
        hull = np.zeros((66, 66), dtype=bool)
        for du, dv in ((0, 0), (0, 1), (1, 0), (1, 1)):  # a voxel is 1.3 pixels wide
            hull[v + dv, u + du] = True
        mask = chair.capture.masks[view] > 127
        scores.append((hull[:64, :64] & mask).sum() / (hull[:64, :64] | mask).sum())
    assert low < np.median(scores) < high


def test_dtu_keeps_to_its_prior_once_its_world_is_upright(data_root):
    folder = data_root / "transforms" / "dtu_scan24_384"
    scene = open_folder(folder).load(64)
    assert findings(scene) == []
    assert scene.capture.prior is not None and scene.capture.prior.family == "sphere+jitter"
    raw = json.loads((folder / "transforms.json").read_text())
    centres = np.array([frame["transform_matrix"] for frame in raw["frames"] if frame["split"] == "train"])[:, :3, 3]
    mine = np.stack([scene.truth.poses[view][:3, 3] for view in scene.truth.order])
    distances = [np.linalg.norm(c[:, None] - c[None], axis=-1) for c in (centres, mine)]
    assert np.allclose(*distances)  # the world was turned, and nothing else


def test_fern_is_what_nerfs_own_reader_makes_of_it(data_root):
    """bmild/nerf, load_llff.py: (down, right, backward) is turned to OpenGL axes by columns 1, -0, 2."""
    folder = data_root / "nerf_llff_data" / "fern"
    scene = open_folder(folder).load(400)
    raw = np.load(folder / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    nerf = np.concatenate([raw[..., 1:2], -raw[..., 0:1], raw[..., 2:4]], axis=-1)
    mine = np.stack([opengl(pose) for pose in scene.truth.heldout.poses])
    assert np.allclose(mine[:, :3], nerf[::8])
    assert len(scene.capture.images) == 17 and scene.capture.shape == (300, 400, 3)
    assert scene.truth.camera.fx == pytest.approx(raw[0, 2, 4] * 400 / 4032)
    assert scene.capture.inputs == {"camera"} and scene.capture.background is None


def test_dtu_has_one_truth_in_both_of_its_layouts(data_root):
    """transforms.json was written by somebody else's decomposition, of matrices in single precision."""
    names = ("dtu/scan24_monosdf", "transforms/dtu_scan24_384")
    mine, theirs = (open_folder(data_root / name).load(64) for name in names)
    assert len(mine.truth.order) == 42 and findings(mine) == []
    for a, b in zip(mine.truth.order, theirs.truth.order, strict=True):
        assert np.abs(mine.truth.poses[a] - theirs.truth.poses[b]).max() < 1e-6
        assert (mine.capture.images[a] == theirs.capture.images[b]).all()
    assert np.abs(mine.truth.heldout.poses - theirs.truth.heldout.poses).max() < 1e-6
    assert np.allclose(mine.truth.camera.matrix, theirs.truth.camera.matrix, atol=1e-4)
    assert mine.capture.prior == theirs.capture.prior is not None


def test_the_temple_is_where_its_readme_says(data_root):
    """All that is bright lies within the tight bounding box that README.txt gives, and fills its length."""
    scene = open_folder(data_root / "middlebury" / "templeSparseRing").load(400)
    box = np.array([[-0.073568, 0.021728, -0.012445], [0.028855, 0.181892, 0.062736]])
    corners = np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3)
    assert len(scene.truth.order) == 13 and len(scene.truth.heldout.ids) == 2  # of 16 views one is there twice
    views = [(scene.capture.images[view], pose) for view, pose in scene.truth.poses.items()]
    for image, pose in [*views, *zip(scene.truth.heldout.images, scene.truth.heldout.poses, strict=True)]:
        seen = project(corners, pose, scene.truth.camera)
        bright = np.argwhere(image.max(axis=-1) > 100)[:, ::-1]
        assert (seen.min(axis=0) < bright.min(axis=0)).all() and (bright.max(axis=0) < seen.max(axis=0)).all()
        assert np.ptp(bright[:, 0]) > 0.9 * np.ptp(seen[:, 0])
