"""Scenes are found below data roots, named by their path, refined by cards, and told apart by their digests."""

import fnmatch
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from written import POSES, picture

from bench.geometry import nearest_to_axes
from bench.task import PosePrior
from datasets.card import Card, card_for, cards
from datasets.folder import AbsentScene, FolderScene, open_folder, sources
from datasets.loaders.recording import Frame, turned


def test_scenes_are_named_by_their_path_below_a_root(transforms_folder, tmp_path):
    folder = transforms_folder()
    (tmp_path / "root" / "set").mkdir(parents=True)
    folder.rename(tmp_path / "root" / "set" / "mine")
    found = {source.name: source for source in sources([tmp_path / "root"])}
    assert isinstance(found["set/mine"], FolderScene)
    assert found["set/mine"].reference == "unknown" and found["set/mine"].missing is None
    again = {source.name: source for source in sources([tmp_path / "root" / "set"])}
    assert "mine" in again and "set/mine" not in again


def test_a_root_that_is_itself_a_scene_has_the_name_that_it_has_by_path(transforms_folder):
    folder = transforms_folder()
    assert folder.name == open_folder(folder).name == "scene"
    assert "scene" in {source.name for source in sources([folder])}
    assert open_folder(folder, "mine/scene").name == "mine/scene"


def test_a_root_that_is_not_there_hides_nothing_and_is_said(tmp_path, caplog):
    assert {source.missing is None for source in sources([tmp_path / "nowhere"])} == {False}
    assert "nowhere cannot be read" in caplog.text


def test_well_known_scenes_are_listed_with_how_to_get_them():
    absent = {source.name: source for source in sources([])}
    objects = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
    assert {f"nerf_synthetic/{name}" for name in objects} < set(absent)
    assert all(isinstance(source, AbsentScene) and "https://" in source.missing for source in absent.values())


def test_real_scenes_are_found_with_their_cards(data_root):
    found = {source.name: source for source in sources([data_root])}
    chair, fox, dtu = (
        found[name] for name in ("nerf_synthetic/chair", "transforms/fox_480", "transforms/dtu_scan24_384")
    )
    assert [source.missing for source in (chair, fox, dtu)] == [None] * 3
    assert [source.reference for source in (chair, fox, dtu)] == ["exact", "colmap", "measured"]
    assert found["dtu/scan24_monosdf"].reference == found["middlebury/templeRing"].reference == "measured"
    assert found["nerf_llff_data/fern"].reference == "colmap" and found["nerf_llff_data/trex"].missing
    assert chair.inputs == {"camera", "prior", "masks"}
    assert fox.inputs == {"camera"} and dtu.inputs == {"camera", "prior"}
    assert found["nerf_synthetic/lego"].missing


def test_a_known_scene_has_one_name_and_digest_through_every_door(data_root):
    by_name = next(source for source in sources([data_root]) if source.name == "nerf_synthetic/chair")
    by_path = open_folder(data_root / "nerf_synthetic" / "chair")
    assert by_path.name == by_name.name and by_path.card == by_name.card
    assert by_path.digest(64) == by_name.digest(64)


def test_middleburys_sets_have_the_prior_of_the_family_that_they_are_called_after(data_root):
    """And it holds the truth: the cameras' heights above the ring's plane, and their quarter turns, 1 sigma away."""
    walks = {name: card_for(f"middlebury/{name}", data_root).prior.walk for name in ("dinoRing", "dino", "temple")}
    assert walks == {"dinoRing": "ring", "dino": "dome", "temple": "dome"}
    for name in ("templeRing", "templeSparseRing"):
        source = open_folder(data_root / "middlebury" / name)
        prior = source.card.prior
        assert "prior" in source.inputs and prior.walk == "ring" and prior.roll_std == 90
        poses = np.stack([frame.pose for frame in source.recording.frames])
        offset = poses[:, :3, 3] - nearest_to_axes(poses[:, :3, 3], poses[:, :3, 2])[0]
        normal = np.linalg.svd(poses[:, :3, 3] - poses[:, :3, 3].mean(axis=0))[2][2]
        height = np.degrees(np.abs(np.arcsin(offset @ normal / np.linalg.norm(offset, axis=1))))
        assert prior.elevation[0] < height.min() and height.max() < prior.elevation[1]
        assert (np.abs(poses[:, :3, 0] @ normal) > 0.98).all()  # the image's rows run along the axis


def test_every_known_scene_fits_its_own_card_and_no_other():
    for card in cards():
        assert card.known and card.summary and card.licence and card.source and card.how
        for name in card.known:
            assert [other for other in cards() if any(fnmatch.fnmatchcase(name, glob) for glob in other.scenes)] == [
                card
            ]


def test_a_folders_own_card_wins_field_by_field(transforms_folder, tmp_path):
    folder = tmp_path / "root" / "transforms" / "fox_mine"
    folder.parent.mkdir(parents=True)
    transforms_folder().rename(folder)
    (folder / "unposed.toml").write_text(
        'split = 3\nreference = "measured"\nsummary = "mine"\n[prior]\nradius = [2, 5]\nup = "y"\n'
    )
    source = open_folder(folder)
    assert source.name == "transforms/fox_mine" and source.summary == "mine" and source.reference == "measured"
    assert source.card.licence == next(card for card in cards() if card.fits(source.name)).licence
    scene = source.load(64)
    assert len(scene.truth.heldout.ids) == 3 and len(scene.capture.images) == 6
    assert scene.capture.prior == PosePrior(radius=(2.0, 5.0), up="y")
    assert source.inputs == scene.capture.inputs


def test_a_card_chooses_the_colour_behind_transparent_pixels(blender_folder):
    folder = blender_folder()
    (folder / "unposed.toml").write_text("background = [0, 0, 0]")
    scene = open_folder(folder).load(64)
    rgba = np.array(picture(0, (40, 40), "RGBA")).astype(float)
    shown = scene.capture.images[scene.truth.order[0]]
    assert np.abs(shown - rgba[..., :3] * rgba[..., 3:] / 255).max() <= 0.51
    assert scene.capture.background == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (0.1, -0.4, -0.9)])
def test_a_card_turns_the_world_upright(up, tmp_path):
    frames = [Frame(name="", image=tmp_path, pose=pose, heldout=False) for pose in POSES]
    poses = np.stack([frame.pose for frame in turned(frames, up)])
    turn = poses[0] @ np.linalg.inv(POSES[0])
    assert np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)
    assert np.allclose(turn[:3, :3] @ up / np.linalg.norm(up), [0, 0, 1])
    assert np.allclose(poses, turn @ POSES)


def test_the_digest_follows_what_decides_pixels_and_poses_and_nothing_else(transforms_folder):
    folder = transforms_folder()
    digests = [open_folder(folder).digest(64)]

    def changed() -> bool:
        digests.append(open_folder(folder).digest(64))
        return digests[-1] not in digests[:-1]

    assert open_folder(folder).digest(64) == digests[0] != open_folder(folder).digest(200)
    (folder / "notes.txt").write_text("unrelated")
    (folder / "unposed.toml").write_text('summary = "prose"')
    assert not changed()
    (folder / "unposed.toml").write_text("split = 4")
    assert changed()
    picture(77).save(folder / "images" / "05.png")
    assert changed()
    text = (folder / "transforms.json").read_text()
    (folder / "transforms.json").write_text(text.replace("50.0", "50.5"))
    assert changed()


def test_the_digest_of_llff_follows_its_poses_and_the_folder_that_is_read(llff_folder):
    folder = llff_folder(taken=(1600, 16), sizes={"images": (1600, 16), "images_4": (400, 4)})
    before = open_folder(folder).digest(64)
    picture(77, (1600, 16)).save(folder / "images" / "image003.png")
    assert open_folder(folder).digest(64) == before
    rows = np.load(folder / "poses_bounds.npy")
    rows[4, 3] = np.nextafter(rows[4, 3], 9)
    np.save(folder / "poses_bounds.npy", rows)
    moved = open_folder(folder).digest(64)
    (folder / "images_4").rename(folder / "elsewhere")
    assert len({before, moved, open_folder(folder).digest(64)}) == 3


def test_a_digest_decodes_no_image(transforms_folder, monkeypatch):
    source = open_folder(transforms_folder())
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("an image was decoded"))
    assert len(source.digest(64)) == 64


def test_a_card_needs_nothing_and_refuses_downloads_without_a_checksum():
    assert Card().split == "own"
    with pytest.raises(ValueError, match="sha256"):
        Card.model_validate({"download": [{"url": "https://example.org/x.zip", "sha256": "unknown"}]})


def test_listing_scenes_loads_no_heavy_library():
    program = (
        "import sys\nfrom datasets import folder, procedural\n"
        "assert list(folder.sources([])) and list(procedural.sources([]))\n"
        "sys.stdout.write(' '.join({'scipy', 'skimage', 'PIL', 'pooch', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
