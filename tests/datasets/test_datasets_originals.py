"""The photographs behind the views: each by its own name, copied where a pinhole took it, developed where none did."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from written import edit, picture

from datasets.folder import open_folder
from datasets.originals import hand_over, originals


def test_each_view_is_the_photograph_that_it_was_taken_from(transforms_folder, tmp_path):
    folder = transforms_folder()
    source = open_folder(folder)
    shown = source.load(400).capture.images
    handed = {view: name for view, name, _ in hand_over(source, tmp_path / "out")}
    assert handed == {view: original.name for view, original in originals(source).items()}
    for view, name in handed.items():
        assert (tmp_path / "out" / name).read_bytes() == (folder / "images" / name).read_bytes()
        assert (np.asarray(Image.open(tmp_path / "out" / name)) == shown[view]).all()


def test_a_photograph_through_a_lens_is_undone_at_its_full_size(transforms_folder, tmp_path):
    folder = transforms_folder(k1=0.05)
    for k in range(9):
        picture(k, (80, 60)).save(folder / "images" / f"{k:02d}.png")
    edit(folder / "transforms.json", lambda raw: raw.update(w=80, h=60, fl_x=100, fl_y=102, cx=42, cy=28))
    source = open_folder(folder)
    handed = list(hand_over(source, tmp_path / "out"))
    small = source.load(40)
    for view, name, camera in handed:
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (camera.width, camera.height) == (80, 60)
        assert camera.resized(40, 30).fx == pytest.approx(small.truth.camera.fx)
        assert view in small.capture.images


def test_photographs_of_several_cameras_keep_their_folders(transforms_folder, tmp_path):
    folder = transforms_folder()

    def change(raw):
        for k, frame in enumerate(raw["frames"]):
            place = folder / "images" / f"cam{k % 2}"
            place.mkdir(exist_ok=True)
            (folder / "images" / f"{k:02d}.png").rename(place / f"{k // 2}.png")
            frame["file_path"] = f"images/cam{k % 2}/{k // 2}.png"

    edit(folder / "transforms.json", change)
    names = {original.name for original in originals(open_folder(folder)).values()}
    assert len(names) == 7 and {name.split("/")[0] for name in names} == {"cam0", "cam1"}
