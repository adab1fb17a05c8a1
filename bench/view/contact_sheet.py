"""A cell's held-out views on one picture, for tracking stores that show pictures one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

VIEWS = 6
SIDE = 128  # px, longest side of a view
STAGES = ("aligned", "refined", "registered", "depth")
MARGIN = 74  # px, for the names of the rows


def contact_sheet(cell: Path) -> Image | None:
    """Truth above every stage that the judge kept, evenly chosen views across; None where nothing was rendered."""
    from PIL import Image, ImageDraw

    names = sorted({path.name.partition(".")[0] for path in (cell / "renders").glob("h*.png")})
    if not names:
        return None
    shown = min(VIEWS, len(names))
    chosen = [names[(2 * k + 1) * len(names) // (2 * shown)] for k in range(shown)]
    rows = [("truth", [cell.parent.parent / "truth" / f"{name}.png" for name in chosen])]
    rows += [(stage, [cell / "renders" / f"{name}.{stage}.png" for name in chosen]) for stage in STAGES]
    rows = [(title, files) for title, files in rows if any(file.exists() for file in files)]
    sheet = Image.new("RGB", (MARGIN + SIDE * len(chosen), SIDE * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (title, files) in enumerate(rows):
        draw.text((4, y * SIDE + SIDE // 2 - 6), title, fill="black")
        for x, file in enumerate(files):
            if file.exists():
                with Image.open(file) as picture:
                    small = picture.convert("RGB")
                small.thumbnail((SIDE, SIDE))
                sheet.paste(small, (MARGIN + x * SIDE, y * SIDE))
    return sheet
