"""One's own photographs, and videos, become scenes."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_datasets_unposed import photographs

from bench.cli.app import main
from bench.scene import SceneError
from bench.stated_prior import WALKS, inline, prior_of, span
from bench.task import PosePrior
from datasets.add import Told, add, contact_sheet, set_prior
from datasets.card import card_for
from datasets.folder import open_folder
from datasets.video import choose, extract


def said(*command: str) -> str:
    done = CliRunner().invoke(main, list(command))
    assert done.exit_code == 0, done.output
    return done.output


def test_a_folder_becomes_a_scene_by_one_file_and_its_deletion_undoes_it(tmp_path):
    folder = photographs(tmp_path / "vase")
    before = {path.name for path in folder.iterdir()}
    source = add(folder, Told(prior=prior_of("orbit", "10..60"), focal=26, split=4), frames=60)
    assert source.inputs == {"camera", "prior"} and source.card.prior.elevation == (10, 60)
    assert "no focal length is known" not in (folder / "unposed.toml").read_text()
    assert [frame.heldout for frame in source.recording.frames] == [k % 4 == 0 for k in range(9)]
    assert {path.name for path in folder.iterdir()} - before == {"unposed.toml"}
    (folder / "unposed.toml").unlink()
    assert open_folder(folder).inputs == frozenset()


def test_what_is_written_without_a_word_changes_nothing(tmp_path):
    folder = photographs(tmp_path / "vase", focal=26)
    bare = open_folder(folder).load(64)
    added = add(folder, Told(), frames=60).load(64)
    assert bare.capture.camera == added.capture.camera
    assert all((added.capture.images[view] == image).all() for view, image in bare.capture.images.items())


@pytest.mark.parametrize("beside", ["sparse", "transforms_old.json"])
def test_photographs_beside_cameras_that_nobody_can_read_become_a_scene_as_the_refusal_says(tmp_path, beside):
    folder = photographs(tmp_path / "vase")
    (folder / beside).mkdir()
    with pytest.raises(SceneError, match="`unposed data add` makes a scene of the photographs alone"):
        open_folder(folder)
    source = add(folder, Told(), frames=60)
    assert source.layout.name == "photographs" and source.reference == "none"
    assert len(source.recording.frames) == 9
    assert f"# {beside} lies beside the photographs" in (folder / "unposed.toml").read_text()


def test_cameras_that_can_be_read_are_not_passed_over(transforms_folder):
    source = add(transforms_folder(), Told(), frames=60)
    assert source.layout.name == "transforms" and "is not read" not in (source.folder / "unposed.toml").read_text()


def test_a_card_is_not_written_over(tmp_path):
    folder = photographs(tmp_path / "vase")
    add(folder, Told(), frames=60)
    with pytest.raises(SceneError, match="edit it, or delete it"):
        add(folder, Told(), frames=60)


@pytest.mark.parametrize("walk", WALKS)
def test_every_walk_is_a_prior_that_a_card_can_hold(tmp_path, walk):
    folder = photographs(tmp_path / "vase")
    prior = prior_of(walk, "10..40", "2..3")
    set_prior(folder, prior)
    assert open_folder(folder).card.prior == prior
    assert isinstance(prior, PosePrior) and prior.radius == (2, 3)
    set_prior(folder, prior_of(walk))  # replaced, not added
    assert open_folder(folder).card.prior.radius[1] >= 4
    assert (folder / "unposed.toml").read_text().count("[prior]") == 1


def test_a_new_prior_leaves_the_rest_of_a_card(tmp_path):
    folder = photographs(tmp_path / "vase")
    (folder / "unposed.toml").write_text('summary = "mine"\n\n[prior]\nazimuth = [0, 90]\n')
    set_prior(folder, prior_of("dome"))
    card = open_folder(folder).card
    assert card.summary == "mine" and card.prior.azimuth == (0, 360)


@pytest.mark.parametrize("text", ["10..", "high", "60..10", ""])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="--elevation"):
        span(text, "--elevation")


def test_cameras_of_a_walk_look_at_the_middle_from_where_it_says():
    poses = prior_of("ring", "20..20", "3").sample(np.random.default_rng(0), 50)
    assert np.allclose(np.linalg.norm(poses[:, :3, 3], axis=1), 3)
    assert np.allclose(poses[:, 2, 3], 3 * math.sin(math.radians(20)))
    assert np.allclose(np.einsum("ni,ni->n", poses[:, :3, 2], -poses[:, :3, 3] / 3), 1)


def test_the_command_says_what_it_assumed_and_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "vase")
    text = said("data", "add", "vase", "--orbit", "--focal", "26")
    assert "9 photographs of 40x30 px" in text and "unposed run -s vase -m colmap_nerf,nerfmm,gnerf" in text
    with Image.open("vase.contact.jpg") as sheet:
        assert sheet.width > 8 * 160
    assert "nearest" not in said("data", "prior", "vase", "--ring", "--print")


def test_commands_that_are_printed_can_be_pasted_whatever_the_folder_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = photographs(tmp_path / "my vase (1)")
    text = said("data", "add", folder.name, "--focal", "26")
    assert shlex.split(text[text.index("next: ") :])[:5] == ["next:", "unposed", "run", "-s", folder.name]
    command = re.search(r"`(unposed data prior .*)` writes it", (folder / "unposed.toml").read_text())
    assert command and shlex.split(command[1]) == ["unposed", "data", "prior", folder.name, "--orbit"]
    remedy = re.search(r"`(unposed data prior .*)` for all", open_folder(folder).remedies["prior"])
    assert remedy and shlex.split(remedy[1]) == ["unposed", "data", "prior", str(folder), "--orbit"]


def test_the_contact_sheet_frames_the_held_out_photographs(tmp_path):
    sheet = np.asarray(contact_sheet(open_folder(photographs(tmp_path / "vase", size=(160, 120)))))
    assert (sheet[24, 10:150] == (213, 94, 0)).all()  # the first one's upper edge
    assert not (sheet[24, 180:300] == (213, 94, 0)).all(axis=-1).any()


def test_frames_are_spread_evenly_over_the_motion_and_are_the_sharpest_near():
    motion = [0.0] + [1.0] * 50 + [0.0] * 400 + [1.0] * 50  # the camera stands for four fifths of the time
    sharp = np.random.default_rng(0).random(501)
    chosen = choose(motion, sharp.tolist(), 20)
    assert len(chosen) == 20 == len(set(chosen))
    assert sum(51 <= k <= 450 for k in chosen) <= 9
    assert np.mean(sharp[chosen]) > 0.75
    assert choose([0.0] * 10, [1.0] * 10, 5) == [0, 2, 4, 6, 8]


def filmed(path: Path, frames: int) -> Path:
    """A camera that moves along a wall of noise."""
    av = pytest.importorskip("av", reason="reading a video needs the extra `video`")
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 256, (96, 400, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 8_000_000
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(wall[:240, 8 * k : 8 * k + 320]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("frames", [1, 4])
def test_a_video_of_too_few_frames_leaves_nothing_behind(tmp_path, frames):
    video = filmed(tmp_path / "blink.mp4", frames)
    with pytest.raises(SceneError, match=f"of its {frames} frames {frames} would be taken, and 5 photographs"):
        add(video, Told(), frames=60)
    assert list(tmp_path.iterdir()) == [video]


def test_a_video_becomes_photographs(tmp_path):
    source = add(filmed(tmp_path / "walk.mp4", 40), Told(), frames=10)
    assert source.folder == tmp_path / "walk" and len(source.recording.frames) == 10
    assert source.load(64).capture.shape == (48, 64, 3)
    with pytest.raises(SceneError, match="is there already"):
        add(tmp_path / "walk.mp4", Told(), frames=10)


def test_what_is_no_video_is_refused(tmp_path):
    pytest.importorskip("av", reason="reading a video needs the extra `video`")
    (tmp_path / "walk.mp4").write_bytes(b"not a video")
    with pytest.raises(SceneError, match="cannot be read as a video"):
        extract(tmp_path / "walk.mp4", tmp_path / "frames", 5)
    assert not (tmp_path / "frames").exists()
    (tmp_path / "note.txt").write_text("")
    with pytest.raises(SceneError, match="neither a folder nor a video"):
        add(Path(tmp_path / "note.txt"), Told(), frames=5)


@pytest.mark.parametrize(
    ("text", "walk", "elevation"),
    [
        ('prior = "dome"', "dome", (0, 90)),
        ('prior = {walk = "ring", elevation = [10, 20]}', "ring", (10, 20)),
        ("[prior]\nelevation = [10, 20]", None, (10, 20)),
    ],
)
def test_a_card_states_a_family_or_gives_a_prior_of_the_scenes_own_frame(transforms_folder, text, walk, elevation):
    folder = transforms_folder()
    (folder / "unposed.toml").write_text(text + "\n")
    prior = card_for("scene", folder).prior
    assert getattr(prior, "walk", None) == walk and prior.elevation == elevation
    digests = {open_folder(folder).digest(40)}
    (folder / "unposed.toml").write_text(f"[prior]\nelevation = [{elevation[0]}, {elevation[1]}]\nnear = 1.5\n")
    assert open_folder(folder).digest(40) not in digests


@pytest.mark.parametrize("walk", WALKS)
def test_lengths_of_a_stated_family_follow_from_the_radius_that_a_card_gives(transforms_folder, walk):
    folder = transforms_folder()
    (folder / "unposed.toml").write_text(f'prior = {{walk = "{walk}", radius = [8.5, 11.5]}}\n')
    prior = card_for("scene", folder).prior
    assert prior.near == 4.25 and prior.far == 17.25
    assert prior.look_at_std == pytest.approx(10 * {"orbit": 0.03, "forward": 0.05}.get(walk, 0))
    assert prior == prior_of(walk, distance="8.5..11.5")
    (folder / "unposed.toml").write_text(f'prior = {{walk = "{walk}", radius = [8.5, 11.5], near = 2, far = 20}}\n')
    assert (card_for("scene", folder).prior.near, card_for("scene", folder).prior.far) == (2, 20)


def test_a_line_that_is_told_to_be_pasted_says_the_prior_that_it_was_made_of(transforms_folder):
    folder, prior = transforms_folder(), prior_of("orbit", distance="9..12")
    (folder / "unposed.toml").write_text(inline(prior) + "\n")
    assert card_for("scene", folder).prior == prior


@pytest.mark.parametrize("radius", ["[1]", "3", '"far"', "[2, 1]", "[0, 1]"])
def test_a_radius_that_is_none_is_refused(transforms_folder, radius):
    folder = transforms_folder()
    (folder / "unposed.toml").write_text(f'prior = {{walk = "orbit", radius = {radius}}}\n')
    with pytest.raises(SceneError, match=r"unposed\.toml: prior"):
        card_for("scene", folder)


def test_a_family_that_nobody_knows_is_refused(transforms_folder):
    folder = transforms_folder()
    (folder / "unposed.toml").write_text('prior = "spiral"\n')
    with pytest.raises(ValueError, match="orbit, dome, ring, forward"):
        open_folder(folder)
