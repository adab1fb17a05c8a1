"""A contact sheet shows truth above renders, and nothing that is not there."""

from pathlib import Path

from PIL import Image

from bench.view.contact_sheet import MARGIN, SIDE, VIEWS, contact_sheet


def written(folder: Path, name: str, colour: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 200), colour).save(folder / f"{name}.png")


def test_truth_stands_above_the_stages_that_were_kept(tmp_path):
    cell = tmp_path / "clean" / "m" / "seed0"
    for k in range(13):
        written(tmp_path / "clean" / "truth", f"h{k:03d}", "red")
        written(cell / "renders", f"h{k:03d}.aligned", "blue")
        written(cell / "renders", f"h{k:03d}.depth", "lime")
    sheet = contact_sheet(cell)
    assert sheet is not None
    assert sheet.size == (MARGIN + SIDE * VIEWS, 3 * SIDE)
    colours = [sheet.getpixel((MARGIN + SIDE * (VIEWS - 1) + 10, y * SIDE + 10)) for y in range(3)]
    assert colours == [(255, 0, 0), (0, 0, 255), (0, 255, 0)]


def test_the_views_are_spread_over_all_there_are(tmp_path):
    cell = tmp_path / "clean" / "m" / "seed0"
    for k in range(8):
        written(cell / "renders", f"h{k:03d}.aligned", f"rgb({20 * k}, 0, 0)")
    sheet = contact_sheet(cell)
    assert sheet is not None
    reds = [sheet.getpixel((MARGIN + SIDE * x + 10, 10))[0] // 20 for x in range(VIEWS)]
    assert reds[0] <= 1 and reds[-1] >= 6 and reds == sorted(set(reds))


def test_without_renders_there_is_no_sheet(tmp_path):
    assert contact_sheet(tmp_path) is None
