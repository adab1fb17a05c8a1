"""Held-out renders beside the truth, as thumbnails that travel inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports import scores
from reports.columns import column
from reports.scores import IOU, PSNR, STATUSES, Entry

VIEWS = 5  # held-out views shown for a scene and degradation
SIDE = 180  # longest side of a thumbnail, px
ERROR_FULL = 0.3  # absolute error, of 1, that the error map's last colour stands for
ERROR_LEVELS = 32
ERROR_MAP = "magma"


@dataclass(frozen=True, kw_only=True)
class Thumb:
    """A picture as a data URI, or without one the reason in `alt`."""

    alt: str
    source: str = ""
    size: tuple[int, int] = (0, 0)  # width, height: the page keeps the place while a picture is decoded
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row of a gallery. `reason` replaces the pictures where there are none."""

    label: str
    detail: str = ""
    method: str = ""
    oracle: bool = False
    thumbs: tuple[Thumb, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    views: tuple[str, ...]
    strips: tuple[Strip, ...]


def gallery(entries: Sequence[Entry]) -> Gallery | None:
    """What was shown, the held-out truth, and for each method its aligned renders and their error maps.

    None where nothing was ever rendered and no truth was kept.
    """
    home = entries[0].folder.parent.parent
    truth = _images(home / "truth")
    rendered = {path.name.partition(".")[0] for each in entries for path in _aligned(each)}
    names = sorted(truth.keys() | rendered)
    if not names:
        return None
    views = tuple(names[k] for k in _evenly(len(names), VIEWS))
    strips = [_shown(home / "shown")] if (home / "shown").is_dir() else []
    strips.append(
        Strip(
            label="Truth",
            detail="held out",
            thumbs=tuple(_picture(truth.get(view), f"Truth of {view}") for view in views),
        )
    )
    for method, each in scores.by_method(entries).items():
        strips += _method_strips(method, each, views, truth)
    return Gallery(views=views, strips=tuple(strips))


def error_gradient() -> str:
    """The error map's colours as a CSS gradient, for its key."""
    stops = mpl.colormaps[ERROR_MAP](np.linspace(0, 1, 9), bytes=True)
    return "linear-gradient(90deg, " + ", ".join("#{:02x}{:02x}{:02x}".format(*stop[:3]) for stop in stops) + ")"


def _shown(folder: Path) -> Strip:
    shown = _images(folder)
    chosen = [list(shown)[k] for k in _evenly(len(shown), VIEWS)]
    return Strip(
        label="Shown", detail="to every method, for training",
        thumbs=tuple(_picture(shown[view], f"Training view {view} as shown") for view in chosen),
        reason="" if chosen else "no pictures were kept",
    )  # fmt: skip


def _method_strips(method: str, entries: Sequence[Entry], views: Sequence[str], truth: dict[str, Path]) -> list[Strip]:
    oracle = scores.is_oracle(entries)
    entry = _typical([entry for entry in entries if _aligned(entry)])
    if entry is None:
        return [Strip(label=method, method=method, oracle=oracle, reason=_no_renders(entries))]
    files = {path.name.partition(".")[0]: path for path in _aligned(entry)}
    seed = entry.result.cell.seed
    pictures = tuple(
        _picture(files.get(view), f"{method}, seed {seed}, {view}: aligned render", _score(entry, view))
        for view in views
    )
    errors = tuple(_error(truth.get(view), files.get(view), f"{method}, seed {seed}, {view}: error") for view in views)
    return [
        Strip(label=method, detail=f"seed {seed}", method=method, oracle=oracle, thumbs=pictures),
        Strip(label="error", detail=method, method=method, oracle=oracle, thumbs=errors),
    ]


def _no_renders(entries: Sequence[Entry]) -> str:
    ended = {
        f"{STATUSES[entry.result.status]}: {entry.result.reason or 'no reason was recorded'}"
        for entry in entries
        if not entry.done
    }
    return "no renders, " + "; ".join(sorted(ended)) if ended else "no renders were kept"


def _typical(entries: Sequence[Entry]) -> Entry | None:
    """The seed in the middle by PSNR (by IoU for silhouettes): neither the best nor the worst stands for a method."""

    def quality(entry: Entry) -> float:
        found = [scores.value(entry.result, name) for name in (IOU, PSNR)]
        return next((each for each in found if each is not None and np.isfinite(each)), -np.inf)

    ordered = sorted(entries, key=lambda entry: (quality(entry), entry.result.cell.seed))
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _score(entry: Entry, view: str) -> str:
    held = entry.result.per_view.get(view, {})
    name = next((name for name in (IOU, PSNR) if name in held), None)
    return f"{column(name).show(float(held[name]))} {column(name).unit or column(name).label}" if name else ""


def _aligned(entry: Entry) -> list[Path]:
    return sorted((entry.folder / "renders").glob("*.aligned.png"))


def _images(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.png"))}


def _evenly(n: int, most: int) -> list[int]:
    return list(range(n)) if n <= most else [round((k + 0.5) * n / most - 0.5) for k in range(most)]


def _picture(path: Path | None, alt: str, caption: str = "") -> Thumb:
    pixels = _read(path)
    if isinstance(pixels, str):
        return Thumb(alt=f"{alt}: {pixels}", caption=caption)
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    source = _data_uri(image, "jpeg", quality=86, subsampling=0)
    return Thumb(alt=alt, source=source, size=image.size, caption=caption)


def _error(truth: Path | None, render: Path | None, alt: str) -> Thumb:
    """Mean absolute difference over channels, on one scale for the whole page."""
    a, b = _read(truth), _read(render)
    for pixels, what in ((a, "truth"), (b, "render")):
        if isinstance(pixels, str):
            return Thumb(alt=f"{alt}: {what} {pixels}")
    if isinstance(a, str) or isinstance(b, str) or a.shape != b.shape:
        return Thumb(alt=f"{alt}: truth and render differ in size")
    error = np.abs(a.astype(np.float32) - b.astype(np.float32)).mean(axis=2) / 255  # (H, W)
    image = Image.fromarray(np.rint(np.clip(error / ERROR_FULL, 0, 1) * 255).astype(np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    levels = np.rint(np.asarray(image) / 255 * (ERROR_LEVELS - 1)).astype(np.uint8)
    indexed = Image.fromarray(levels)
    indexed.putpalette(mpl.colormaps[ERROR_MAP](np.linspace(0, 1, ERROR_LEVELS), bytes=True)[:, :3].tobytes())
    mean = f"mean error {error.mean():.3f}"
    source = _data_uri(indexed, "png", optimize=True)
    return Thumb(alt=f"{alt}, {mean}", source=source, size=indexed.size, caption=mean)


def _read(path: Path | None) -> NDArray[np.uint8] | str:
    """(H, W, 3), or why not."""
    if path is None:
        return "not kept"
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError):  # PIL raises SyntaxError for a broken PNG chunk
        return f"{path.name} cannot be read"


def _data_uri(image: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
