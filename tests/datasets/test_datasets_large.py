"""Large captures: decoded small, side by side, and once."""

from __future__ import annotations

import memory_peak
import numpy as np
import pytest
from PIL import Image

from bench.matrix.restated import read_as
from bench.regime import parse_regime, pixels_of
from bench.scene import SceneError
from datasets import cache
from datasets.folder import open_folder
from datasets.images import roll
from datasets.images.decode import decoded
from datasets.images.resample import area_average


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Twenty-six photographs of 4K: more than 200 MP in all."""
    folder = tmp_path_factory.mktemp("data") / "large"
    folder.mkdir()
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (27, 48, 3), dtype=np.uint8)
    for k in range(26):
        turned = Image.fromarray(np.roll(smooth, 2 * k, axis=1)).resize((3840, 2160), Image.Resampling.BICUBIC)
        turned.save(folder / f"{k:03d}.jpg", quality=90)
    return folder


def test_a_large_capture_is_decoded_once(large, monkeypatch):
    first = open_folder(large).load(200)
    monkeypatch.setattr(roll, "_developed", lambda *_: pytest.fail("developed again"))
    again = open_folder(large).load(200)
    assert all((again.capture.images[view] == image).all() for view, image in first.capture.images.items())
    assert (again.truth.heldout.images == first.truth.heldout.images).all()
    with pytest.raises(BaseException, match="developed again"):
        open_folder(large).load(100)  # another size is another image


def test_a_small_capture_is_no_load_on_the_cache(transforms_folder, monkeypatch):
    monkeypatch.setattr(cache, "kept", lambda *_: pytest.fail("kept"))
    source = open_folder(transforms_folder())
    monkeypatch.setattr(type(source), "backdrop", None)
    assert len(source.load(40).capture.images) == 7


def test_what_is_decoded_small_is_what_the_whole_would_show(large):
    path = large / "003.jpg"
    with Image.open(path) as image:
        whole = np.asarray(image.convert("RGB"), dtype=np.float32)
    small = decoded(path, "frame 3", "RGB", upright=False, least=800)
    assert 800 <= small.shape[1] < 3840 // 2
    assert np.abs(area_average(small, 200, 112) - area_average(whole, 200, 112)).max() < 2.5


def test_more_images_than_memory_are_refused_before_any_is_decoded(large, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 10**8}))
    with pytest.raises(SceneError, match=r"26 images of 3840x2160 px take 0\.6 GB.*full@800"):
        open_folder(large).load(4000)


def test_of_several_copies_the_smallest_that_is_large_enough_is_read(llff_folder):
    folder = llff_folder(
        taken=(4000, 3000), sizes={"images": (1000, 750), "images_2": (500, 375), "images_4": (250, 188)}
    )
    found = {
        effort: read_as(open_folder(folder), parse_regime(effort)).load(pixels_of(effort)).capture.shape[1]
        for effort in ("quick", "full", "800", "native")
    }
    assert found == {"quick": 200, "full": 400, "800": 800, "native": 1000}
    assert read_as(open_folder(folder), parse_regime("full")).recording.optics.camera.width == 500


def test_memory_is_that_of_a_few_images(large):
    """Twenty-six images of 4K are 2.6 GB in floating point."""
    before = memory_peak.begin()
    open_folder(large).load(190)
    assert memory_peak.peak() - before < 600 * 2**20
