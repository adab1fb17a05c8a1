"""Bad input is refused in one sentence that names the file and the frame, and says what to do."""

import json

import numpy as np
import pytest
from PIL import Image
from written import POSES, edit, opengl, picture

from bench.scene import SceneError
from datasets.folder import AbsentScene, open_folder, sources
from datasets.loaders.layouts import LAYOUTS


def refusal(folder) -> str:
    with pytest.raises(SceneError) as caught:
        open_folder(folder).load(64)
    message = str(caught.value)
    assert "\n" not in message and 20 < len(message) < 600
    return message


def change_frame(folder, k, **values):
    edit(folder / "transforms.json", lambda raw: raw["frames"][k].update(values))


def test_a_missing_image_is_named(transforms_folder, blender_folder, tmp_path):
    folder = transforms_folder()
    (folder / "images" / "03.png").unlink()
    assert refusal(folder) == f"transforms: frame 3 (images/03.png) names images/03.png, which is not in {folder}"
    folder.rename(tmp_path / "other")
    folder = blender_folder()
    (folder / "train" / "r_2.png").unlink()
    assert "blender: train frame 2 (./train/r_2) names train/r_2, which is not in" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 10, 200, -40])
def test_a_broken_png_is_named(transforms_folder, keep):
    path = transforms_folder() / "images" / "05.png"
    path.write_bytes(path.read_bytes()[:keep])
    message = refusal(path.parent.parent)
    assert "frame 5 (images/05.png)" in message and str(path) in message


def test_a_first_image_that_is_no_image_is_named(transforms_folder):
    folder = transforms_folder()
    (folder / "images" / "00.png").write_text("404 not found")
    assert "frame 0 (images/00.png)" in refusal(folder)


def test_pixels_of_a_kind_that_no_camera_writes_are_refused(transforms_folder):
    folder = transforms_folder()
    Image.fromarray(np.zeros((30, 40), dtype=np.float32)).save(folder / "images" / "04.tiff")
    (folder / "images" / "04.tiff").rename(folder / "images" / "04.png")
    assert "has pixels of kind F; save it with 8 bits a channel" in refusal(folder)


def _scaled(m):
    return m * [1.1, 1.1, 1.1, 1]


def _mirrored(m):
    return m * [-1, 1, 1, 1]


def _sheared(m):
    return m @ np.array([[1, 0.01, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_scaled, "not a rotation: its axes miss unit length"),
        (_sheared, "not a rotation: its axes miss unit length"),
        (_mirrored, "a reflection"),
        (lambda m: np.where(m == m[0, 0], np.nan, m), "not finite"),
        (lambda m: np.where(m == m[0, 3], np.inf, m), "not finite"),
        (lambda m: m[:2], "not 4x4 numbers"),
        (lambda m: [*m.tolist()[:3], [0, 0, 1]], "not 4x4 numbers"),
        (lambda m: "identity", "not 4x4 numbers"),
        (lambda m: [["a"] * 4] * 4, "not 4x4 numbers"),
        (lambda m: None, "not 4x4 numbers"),
    ],
)
def test_a_matrix_that_is_not_a_rotation_is_named(transforms_folder, spoil, reason):
    folder = transforms_folder()
    spoilt = spoil(np.array(opengl(POSES[6])))
    change_frame(folder, 6, transform_matrix=np.asarray(spoilt).tolist() if isinstance(spoilt, np.ndarray) else spoilt)
    message = refusal(folder)
    assert "frame 6 (images/06.png)" in message and "transforms.json" in message and reason in message


def test_float32_rounding_of_a_rotation_is_removed(transforms_folder):
    folder = transforms_folder()
    change_frame(folder, 1, transform_matrix=np.round(opengl(POSES[1]), 5).tolist())
    scene = open_folder(folder).load(64)
    rotation = scene.truth.poses[scene.truth.order[0]][:3, :3]
    assert np.abs(rotation.T @ rotation - np.eye(3)).max() < 1e-14
    assert np.allclose(rotation, POSES[1][:3, :3], atol=2e-5)


def test_mixed_sizes_are_both_named(transforms_folder):
    folder = transforms_folder()
    picture(4, (44, 30)).save(folder / "images" / "04.png")
    message = refusal(folder)
    assert "frame 4 (images/04.png)" in message and "44x30" in message and "40x30" in message


def test_a_camera_of_another_shape_than_the_images_is_refused_with_both(transforms_folder):
    message = refusal(transforms_folder(w=80, h=80))
    assert "w=80, h=80" in message and "40x30" in message


def test_duplicate_frames_are_both_named(transforms_folder):
    folder = transforms_folder()
    change_frame(folder, 7, file_path="./images/02.png")
    message = refusal(folder)
    assert "frame 2 (images/02.png)" in message and "frame 7 (./images/02.png)" in message


@pytest.mark.parametrize(
    "path", ["../secret.png", "images/../../secret.png", "/etc/secret.png", "..\\secret.png", "C:/x.png"]
)
def test_a_path_that_leaves_the_folder_is_refused(transforms_folder, path):
    folder = transforms_folder()
    picture(0).save(folder.parent / "secret.png")
    change_frame(folder, 3, file_path=path)
    assert f"frame 3 ({path}) names a file outside of" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"frames": [', "is not JSON (line 1"),
        ("", "is not JSON"),
        ("[]", "not a JSON object but a list"),
        ('{"frames": []}', "has no frames"),
        ("{}", "has no frames"),
        ('{"frames": [{"transform_matrix": []}]}', "frame 0 has no `file_path`"),
    ],
)
def test_a_description_that_cannot_be_understood_is_named(transforms_folder, text, reason):
    folder = transforms_folder()
    (folder / "transforms.json").write_text(text)
    message = refusal(folder)
    assert str(folder / "transforms.json") in message and reason in message


def test_a_description_that_is_not_text_is_named(transforms_folder):
    folder = transforms_folder()
    (folder / "transforms.json").write_bytes(b"\xff\xfe\x00\x01")
    assert "not UTF-8 text" in refusal(folder)


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ({"fl_x": None, "fl_y": None}, "its cameras have poses and no focal length; say `focal = 26`"),
        ({"fl_x": "wide"}, "`fl_x` must be a number, and is 'wide'"),
        ({"fl_x": -3.0}, "focal length along x must be positive"),
        ({"camera_model": "EQUIRECTANGULAR"}, "camera_model EQUIRECTANGULAR is not supported"),
        ({"k3": "much"}, "`k3` must be a number"),
        ({"k1": float("nan")}, "`k1` must be a number"),
    ],
)
def test_intrinsics_that_cannot_be_used_are_named(transforms_folder, top, reason):
    assert reason in refusal(transforms_folder(**top))


def test_cameras_that_share_no_view_are_refused(transforms_folder):
    folder = transforms_folder()
    change_frame(folder, 5, fl_x=500.0, fl_y=500.0)
    assert "2 cameras share no view that one camera could show" in refusal(folder)


def test_a_split_without_heldout_views_is_refused(transforms_folder):
    folder = transforms_folder()
    edit(folder / "transforms.json", lambda raw: [frame.update(split="train") for frame in raw["frames"]])
    assert "of 9 frames none is a held-out view" in refusal(folder)


def test_an_angle_of_view_that_is_none_is_refused(blender_folder):
    folder = blender_folder()
    edit(folder / "transforms_test.json", lambda raw: raw.update(camera_angle_x=3.2))
    assert "camera_angle_x must be an angle between 0 and pi, in radians, and is 3.2" in refusal(folder)


def test_a_folder_of_llff_without_images_is_refused(llff_folder):
    assert "put them into `images` or `images_8`" in refusal(llff_folder(sizes={"photos": (40, 30)}))


def test_rows_of_llff_that_are_not_one_an_image_are_counted(llff_folder):
    folder = llff_folder()
    (folder / "images_8" / "image008.png").unlink()
    message = refusal(folder)
    assert "poses_bounds.npy: has 9 rows" in message and "images_8 holds 8 images" in message


def test_mixed_sizes_of_llff_are_both_named(llff_folder):
    folder = llff_folder()
    picture(4, (30, 40)).save(folder / "images_8" / "image004.png")
    message = refusal(folder)
    assert "row 4 (image004.png)" in message and "30x40" in message and "40x30" in message


@pytest.mark.parametrize("size", [(30, 40), (30, 30), (40, 32)])
def test_images_of_llff_that_were_turned_or_cropped_are_refused(llff_folder, size):
    message = refusal(llff_folder(sizes={"images_8": size}))
    assert "is for images of 320x240 px" in message and f"row 0 (image000.png) is {size[0]}x{size[1]} px" in message


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        ((6, 2), np.nan, "row 6 (image006.png) has a matrix that is not finite"),
        ((6, slice(0, 3)), 0.0, "row 6 (image006.png) has a matrix that is not a rotation"),
        ((6, [0, 5, 10]), 0.5, "row 6 (image006.png) has a matrix that is not a rotation"),
        ((slice(None), 14), -400.0, "must be positive, and are 240, 320, -400"),
        ((slice(None), 4), np.nan, "must be positive, and are nan, 320, 400"),
        ((5, 14), 410.0, "are 240, 320, 400 in row 0 but 240, 320, 410 in row 5; all images of a scene must come from"),
    ],
)
def test_numbers_of_llff_that_cannot_be_used_are_named(llff_folder, where, value, reason):
    path = llff_folder() / "poses_bounds.npy"
    rows = np.load(path)
    rows[where] = value
    np.save(path, rows)
    message = refusal(path.parent)
    assert f"{path}: " in message and reason in message


def test_a_mirrored_pose_of_llff_is_named(llff_folder):
    path = llff_folder() / "poses_bounds.npy"
    rows = np.load(path)
    rows[2, [0, 5, 10]] *= -1
    np.save(path, rows)
    assert "row 2 (image002.png) has a matrix that is not a rotation but a reflection" in refusal(path.parent)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((9, 15)), "rows of 17 numbers, and holds float64 of shape (9, 15)"),
        (np.zeros((0, 17)), "rows of 17 numbers, and holds float64 of shape (0, 17)"),
        (np.zeros(17), "rows of 17 numbers, and holds float64 of shape (17,)"),
        (np.full((9, 17), "a"), "rows of 17 numbers, and holds <U1 of shape (9, 17)"),
        (np.full((9, 17), {}), "cannot be read by numpy (Object arrays cannot be loaded"),
    ],
)
def test_an_array_of_llff_of_another_shape_or_kind_is_refused(llff_folder, array, reason):
    path = llff_folder() / "poses_bounds.npy"
    np.save(path, array, allow_pickle=True)
    message = refusal(path.parent)
    assert f"{path}: " in message and reason in message


@pytest.mark.parametrize("keep", [0, 5, 60, 200])
def test_a_broken_file_of_llff_is_refused(llff_folder, keep):
    path = llff_folder() / "poses_bounds.npy"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: cannot be read by numpy" in refusal(path.parent)


def test_a_header_of_numpy_that_is_no_python_is_refused(llff_folder):
    path = llff_folder() / "poses_bounds.npy"
    path.write_bytes(path.read_bytes().replace(b"'shape': (", b"'shape': [", 1))
    assert f"{path}: cannot be read by numpy" in refusal(path.parent)


EYE = np.eye(4)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"world_mat_4": EYE[:3]}, "world_mat_4 must be 4x4 finite numbers, and is float64 of shape (3, 4)"),
        ({"world_mat_4": np.full((4, 4), np.inf)}, "world_mat_4 must be 4x4 finite numbers"),
        ({"scale_mat_4": np.full((4, 4), "a")}, "scale_mat_4 must be 4x4 finite numbers, and is <U1"),
        ({"scale_mat_4": np.full((4, 4), {})}, "cannot be read by numpy (Object arrays cannot be loaded"),
        ({"scale_mat_4": np.diag([-1.0, 1, 1, 1])}, "the matrices of 000004_rgb.png make no camera"),
        ({"world_mat_4": np.zeros((4, 4))}, "the matrices of 000004_rgb.png make no camera"),
        ({"world_mat_4": np.diag([2000.0, 2000, 1, 1])}, "000004_rgb.png has another K than 000000_rgb.png"),
        ({f"world_mat_{k}": EYE + 0.6 * np.eye(4, k=1) for k in range(9)}, "K has a skew of 0.6 px"),
        ({f"world_mat_{k}": EYE for k in range(9)}, "principal point at (0, 0), far from the middle of DTU's"),
    ],
)
def test_matrices_of_dtu_that_cannot_be_used_are_named(dtu_folder, arrays, reason):
    folder = dtu_folder(**arrays)
    message = refusal(folder)
    assert f"{folder / 'cameras.npz'}: " in message and reason in message


def test_a_matrix_of_dtu_that_is_not_there_is_named(dtu_folder):
    folder = dtu_folder()
    picture(9).save(folder / "000009_rgb.png")
    assert refusal(folder) == f"{folder / 'cameras.npz'}: has no world_mat_9, which 000009_rgb.png needs"


def test_images_of_dtu_that_are_not_there_are_another_layout(dtu_folder):
    folder = dtu_folder()
    for image in folder.glob("*.png"):
        image.unlink()
    assert "dtu: cameras.npz is there, but no images like 000000_rgb.png" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 100, 3000, -30])
def test_a_broken_npz_is_refused(dtu_folder, keep):
    path = dtu_folder() / "cameras.npz"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: cannot be read by numpy" in refusal(path.parent)


def test_an_npz_whose_contents_were_changed_is_refused(dtu_folder):
    path = dtu_folder() / "cameras.npz"
    raw = bytearray(path.read_bytes())
    raw[400] ^= 1
    path.write_bytes(raw)
    assert f"{path}: cannot be read by numpy (Bad CRC-32" in refusal(path.parent)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("9\n", "10\n", "must begin with the number of images, and then have one line for each"),
        ("9\n", "", "must begin with the number of images"),
        ("mine0003.png 50.0", "mine0003.png 50.0 1.0", "mine0003.png must be followed by 21 finite numbers"),
        ("mine0003.png 50.0", "mine0003.png", "mine0003.png must be followed by 21 finite numbers"),
        ("mine0003.png 50.0", "mine0003.png wide", "mine0003.png must be followed by 21 finite numbers"),
        ("mine0003.png 50.0", "mine0003.png nan", "mine0003.png must be followed by 21 finite numbers"),
        ("mine0003.png 50.0", "mine0003.png 60.0", "mine0003.png has another K than mine0000.png"),
        ("mine0003.png", "mine9.png", "mine9.png names mine9.png, which is not in"),
        ("mine0003.png", "../mine9.png", "../mine9.png names a file outside of"),
        ("mine0003.png", "mine0002.png", "mine0002.png and mine0002.png are the same image"),
    ],
)
def test_lines_of_middlebury_that_cannot_be_used_are_named(middlebury_folder, old, new, reason):
    path = middlebury_folder() / "mine_par.txt"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    message = refusal(path.parent)
    assert str(path.parent) in message and reason in message


@pytest.mark.parametrize("K", [(50, 1, 21, 0, 51, 14, 0, 0, 1), (-50, 0, 21, 0, 51, 14, 0, 0, 1), (0,) * 9])
def test_intrinsics_of_middlebury_with_a_skew_or_no_focal_length_are_refused(middlebury_folder, K):
    assert "K must be fx 0 cx, 0 fy cy, 0 0 1 with positive focal lengths" in refusal(middlebury_folder(K=K))


def test_a_file_of_middlebury_that_is_empty_or_no_text_is_refused(middlebury_folder):
    path = middlebury_folder() / "mine_par.txt"
    path.write_text("")
    assert f"{path}: must begin with the number of images" in refusal(path.parent)
    path.write_bytes(b"\xff\xfe9")
    assert f"{path}: is not UTF-8 text" in refusal(path.parent)


def test_two_files_of_middlebury_in_one_folder_are_refused(middlebury_folder):
    folder = middlebury_folder()
    (folder / "yours_par.txt").write_text("0")
    assert "middlebury: more than one *_par.txt" in refusal(folder)


def test_an_empty_folder_a_foreign_one_and_none_are_told_apart(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("hello")
    assert "is empty" in refusal(tmp_path / "empty")
    foreign = refusal(tmp_path / "foreign")
    assert all(str(layout.objection(tmp_path / "foreign")) in foreign for layout in LAYOUTS)
    assert "there is no such folder" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("loader = 'colnap'", "asks for loader 'colnap'; known are blender, transforms, llff, dtu, middlebury, neus"),
        ("loader = 'blender'", "blender: no transforms_train.json"),
        ("colour = 'red'", "nothing is called 'colour'; did you mean source or loader?"),
        ("[prior]\nradios = [4, 4]", "a prior has no field 'radios'; did you mean radius?"),
        ("[prior]\nradius = [5, 4]", "radius must be a range low <= high"),
        ("[prior", "cannot be read as TOML"),
        ("split = 1", "split"),
    ],
)
def test_a_wrong_card_is_refused_and_hides_no_other_scene(transforms_folder, card, reason):
    folder = transforms_folder()
    (folder / "unposed.toml").write_text(card)
    message = refusal(folder)
    assert reason in message and str(folder) in message
    listed = {source.name: source for source in sources([folder.parent])}
    assert isinstance(listed["scene"], AbsentScene) and listed["scene"].missing == message


def test_gifts_can_be_listed_of_a_scene_that_cannot_be_read(transforms_folder):
    folder = transforms_folder()
    (folder / "transforms.json").write_text(json.dumps({"frames": []}))
    assert open_folder(folder).inputs == {"camera"}
