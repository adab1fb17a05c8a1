"""A contact sheet: what a kind of degradation does to a scene, severity by severity, to be seen before it is used."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from bench.degrade import KINDS, Degradation, degrade
from bench.degrade.keypoints import ENLARGE_TO, count
from bench.degrade.kind import Kind
from bench.degrade.views import showing
from bench.files import replacing
from bench.scene import Scene
from bench.task import Capture, Image, Pose, PosePrior

TILE = 200
"""Images with a longest side below this are enlarged by a whole number, so that their pixels can be seen."""

INK, FAINT, PAPER, GREY, BLUE = (20, 20, 20), (120, 120, 120), (250, 250, 250), (205, 205, 205), (30, 90, 200)
MARGIN = 12
SAMPLES = 400  # viewpoints drawn from a declared prior

COUNTED = f"SIFT as COLMAP finds it, small images enlarged to {ENLARGE_TO} px or twice their size; no limit"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """What a sheet shows: a column a severity, a row a view; None where a view is not shown."""

    heads: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Picture.Image | None]]]
    note: str


def contact_sheet(scene: Scene, kind: str, views: int) -> Picture.Image:
    """Rows: some of the views, or the viewpoints where the prior is what is spoilt; columns: severities 0 to 5.

    Raises ValueError for a kind that no picture shows, and where the scene lacks what the kind works on.
    """
    known = KINDS[Degradation(kind=kind, severity=1).kind]
    if known.touches & {"images", "views"}:
        table = _photographs(scene, known, views)
    elif "prior" in known.touches:
        table = _viewpoints(scene, known)
    else:
        what = " and ".join(sorted(known.touches))
        raise ValueError(f"{kind} changes the {what} and no image: `unposed list degradations --json` has its levels")
    return _drawn(f"{scene.name} · {kind} ({known.family})", known.summary, table)


def write_sheet(path: Path, load: Callable[[], Scene], kind: str, views: int) -> None:
    """`contact_sheet` of the scene that `load` reads, as a PNG. Raises ValueError, before anything is read, for a file
    that cannot be meant."""
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise ValueError(f"preview: {path}: name a .png file in a folder that exists")
    sheet = contact_sheet(load(), kind, views)
    with replacing(path) as draft:
        sheet.save(draft, format="png")


def _photographs(scene: Scene, kind: Kind, views: int) -> _Table:
    names = list(scene.capture.images)
    whole = "views" in kind.touches
    ids = names[:views]  # in no order
    captures = _at_severities(scene, kind, scene.capture if whole else showing(scene.capture, ids))
    if whole:  # rows from the last to go to the first
        lasting = sorted(names, key=lambda view: -sum(view in capture.images for capture in captures))
        ids = [lasting[k] for k in dict.fromkeys(np.geomspace(1, len(names), views).astype(int) - 1)]
    shown = [[capture.images.get(view) for view in ids] for capture in captures]
    counted = iter(count([image for images in shown for image in images if image is not None]))
    heads = []
    for severity, (capture, images) in enumerate(zip(captures, shown, strict=True)):
        said = [f"{len(capture.images)} of {len(names)} views"] if whole else []
        counts = [next(counted) for image in images if image is not None]
        said += [f"{statistics.median(counts):g} keypoints"] if counts else []
        heads.append((_head(kind, severity), ", ".join(said)))
    return _Table(
        heads=heads,
        rows=[(view, [_tile(image) for image in row]) for view, row in zip(ids, zip(*shown, strict=True), strict=True)],
        note=f"keypoints: median of the views above; {COUNTED}",
    )


def _viewpoints(scene: Scene, kind: Kind) -> _Table:
    """Distance from the vertical through the look-at point against height above it, of true and declared cameras."""
    priors = [capture.prior for capture in _at_severities(scene, kind, scene.capture)]
    given = [prior for prior in priors if prior is not None]
    true = np.array(list(scene.truth.poses.values())).reshape(-1, 4, 4)
    reach = 1.3 * max(prior.radius[1] for prior in given)
    pictures = [_scatter(prior, true, reach) for prior in given]
    heads = [(_head(kind, k), f"near {prior.near:.3g}, far {prior.far:.3g}") for k, prior in enumerate(given)]
    return _Table(heads=heads, rows=[("", pictures)], note="height over distance: true cameras blue, declared grey")


def _at_severities(scene: Scene, kind: Kind, capture: Capture) -> list[Capture]:
    return [degrade(capture, Degradation(kind=kind.name, severity=severity), scene.name) for severity in range(6)]


def _head(kind: Kind, severity: int) -> str:
    values = ", ".join(f"{name} {value:.3g}" for name, value in kind.parameters(severity).items())
    return f"{severity}: {values}" if severity else "0: clean"


def _tile(image: Image | None) -> Picture.Image | None:
    if image is None:
        return None
    factor = max(1, round(TILE / max(image.shape[:2])))
    picture = Picture.fromarray(image.squeeze(-1) if image.shape[2] == 1 else image).convert("RGB")
    return picture.resize((factor * picture.width, factor * picture.height), Picture.Resampling.NEAREST)


def _scatter(prior: PosePrior, true: Pose, reach: float) -> Picture.Image:
    tile = Picture.new("RGB", (TILE, 2 * TILE), "white")
    pen = ImageDraw.Draw(tile)
    pen.line((0, TILE, TILE, TILE), GREY)
    up = "xyz".index(prior.up)
    for poses, colour in ((prior.sample(np.random.default_rng(0), SAMPLES), FAINT), (true, BLUE)):
        offset = poses[:, :3, 3] - prior.look_at
        across = np.linalg.norm(np.delete(offset, up, axis=1), axis=1) / reach * TILE
        for x, y in zip(across, TILE - offset[:, up] / reach * TILE, strict=True):
            pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), colour)
    return tile


def _drawn(title: str, summary: str, table: _Table) -> Picture.Image:
    wide, high = next(tile.size for _, row in table.rows for tile in row if tile is not None)
    left, top = MARGIN + 40, MARGIN + 94
    size = left + len(table.heads) * (wide + MARGIN), top + len(table.rows) * (high + MARGIN) + 34
    sheet = Picture.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = (ImageFont.load_default(points) for points in (16, 12))
    pen.text((MARGIN, MARGIN), title, INK, large)
    pen.text((MARGIN, MARGIN + 24), summary, FAINT, small)
    for column, head in enumerate(table.heads):
        for line, text in enumerate(head):
            pen.text((left + column * (wide + MARGIN), MARGIN + 50 + 18 * line), text, INK, small)
    for row, (label, tiles) in enumerate(table.rows):
        y = top + row * (high + MARGIN)
        pen.text((MARGIN, y), label, FAINT, small)
        for column, tile in enumerate(tiles):
            x = left + column * (wide + MARGIN)
            if tile is not None:
                sheet.paste(tile, (x, y))
            else:
                pen.rectangle((x, y, x + wide - 1, y + high - 1), outline=FAINT)
                pen.text((x + 8, y + 8), "not shown", FAINT, small)
    pen.text((MARGIN, size[1] - 28), table.note, FAINT, small)
    return sheet
