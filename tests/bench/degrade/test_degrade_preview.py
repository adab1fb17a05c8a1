"""The contact sheet of a degradation, and the keypoints that it counts."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from captures import make_capture, make_truth
from click.testing import CliRunner
from PIL import Image as Picture

from bench.cli import main
from bench.degrade import Degradation, degrade
from bench.degrade.keypoints import count
from bench.degrade.sheet import contact_sheet
from bench.record import read_json
from bench.runner import worker_io
from bench.scene import Scene

COLMAP = """
import sys
from pathlib import Path
import numpy, pycolmap
from bench.runner import worker_io
from bench.record import write_json
from methods.sfm import project as of_colmap
from methods.sfm.config import SfmConfig
folder, config = Path(sys.argv[1]), SfmConfig(max_features=65536)
project = of_colmap._write(worker_io.read_capture(folder), config, folder / "work")
of_colmap._number_images(project)
of_colmap._find_sift(project, config, 1)
database = pycolmap.Database.open(project.database)
found = {image.name: database.num_keypoints_for_image(image.image_id) for image in database.read_all_images()}
write_json(folder / "found.json", found)
"""


def make_scene(**size) -> Scene:
    capture = make_capture(**size)
    truth = replace(make_truth(capture), poses=capture.start or {})
    return Scene(name="folder/speckles", capture=replace(capture, start=None), truth=truth)


def test_keypoints_are_counted_as_colmap_finds_them(tmp_path):
    capture = make_capture(90, 120, views=3)
    worker_io.write_capture(tmp_path, replace(capture, start=None))
    subprocess.run([sys.executable, "-c", COLMAP, str(tmp_path)], check=True, capture_output=True)
    found = read_json(tmp_path / "found.json")
    counts = count(list(capture.images.values()))
    assert counts == [found[f"{view}.png"] for view in capture.images]
    assert min(counts) > 20


def test_one_colour_has_no_keypoints_and_one_channel_is_enough():
    speckles = make_capture(64, 64, views=1, channels=1).images
    assert count([np.full((64, 64, 3), 99, np.uint8), *speckles.values()])[0] == 0
    assert count([*speckles.values()])[0] > 0


def test_a_sheet_shows_every_severity_of_every_view_as_it_is():
    scene = make_scene(height=50, width=40, views=3, plain=False)
    sheet = np.asarray(contact_sheet(scene, "gaussian_noise", 2))
    places = []
    for severity in range(6):
        shown = degrade(scene.capture, Degradation(kind="gaussian_noise", severity=severity), scene.name).images
        for view in list(scene.capture.images)[:2]:
            tile = np.kron(shown[view], np.ones((4, 4, 1), np.uint8))  # 200 px
            corners = np.argwhere((sheet[:-200, :-160] == tile[0, 0]).all(axis=-1))
            found = [(y, x) for y, x in corners if np.array_equal(sheet[y : y + 200, x : x + 160], tile)]
            assert len(found) == 1
            places += found
    rows, columns = ([place[axis] for place in places] for axis in (0, 1))
    assert len(set(rows)) == 2
    assert columns == sorted(columns)
    assert len(set(columns)) == 6


def test_a_sheet_of_fewer_views_has_an_empty_frame_where_a_view_is_gone():
    scene = make_scene(height=20, width=20, views=30, plain=False)
    kept = degrade(scene.capture, Degradation(kind="fewer_views", severity=5), scene.name).images
    sheet = np.asarray(contact_sheet(scene, "fewer_views", 2))
    last = sheet[:, -212:-12]  # the column of severity 5
    rows = [np.kron(scene.capture.images[view], np.ones((10, 10, 1), np.uint8)) for view in kept]
    tops = range(sheet.shape[0] - 200)
    assert any(np.array_equal(last[top : top + 200], tile) for top in tops for tile in rows)
    assert any((last[top + 40 : top + 195, 5:195] == last[top + 40, 5]).all() for top in tops)


def test_a_sheet_of_a_prior_draws_true_and_declared_cameras():
    sheet = np.asarray(contact_sheet(make_scene(views=20), "prior_radius", 1)).astype(int)
    blue = (sheet[..., 2] - sheet[..., 0] > 100).sum()
    assert blue > 6 * 20  # 20 cameras, some behind others, three pixels wide, in six columns


@pytest.fixture
def unposed():
    def call(*arguments):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
        return done.exit_code, done.output

    return call


def test_a_preview_is_a_picture_at_the_path_it_names(unposed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text = unposed("data", "preview", "blocks", "-d", "jpeg", "--views", 1, "--effort", "smoke")
    assert code == 0
    assert text.strip() == str(tmp_path / "blocks.jpeg.png")
    with Picture.open(tmp_path / "blocks.jpeg.png") as sheet:
        assert sheet.width > 6 * 192  # 64 px, three times as large
    assert [path.name for path in tmp_path.iterdir()] == ["blocks.jpeg.png"]


@pytest.mark.parametrize(
    ("scene", "kind", "sentence"),
    [
        ("blocks", "jepg", "did you mean jpeg"),
        ("block", "jpeg", "did you mean blocks"),
        ("blocks*", "jpeg", "names several scenes"),
        ("blocks", "focal_error", "changes the camera and no image"),
        ("blocks", "clean", "clean has no severity"),
    ],
)
def test_a_preview_that_cannot_be_drawn_is_a_sentence(unposed, tmp_path, scene, kind, sentence):
    code, text = unposed(
        "data", "preview", scene, "-d", kind, "--effort", "smoke", "-o", tmp_path / "sheet.png", "--views", 1
    )
    assert code == 2
    assert sentence in text
    assert not list(tmp_path.iterdir())
