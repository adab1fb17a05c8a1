"""A folder of photographs, or a video, becomes a scene: a card that says what is known of it, to be read and edited."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.files import replacing
from bench.scene import SceneError
from bench.stated_prior import StatedPrior, table
from datasets.background import Colour
from datasets.card import OWN_CARD, card_for, named_by_card
from datasets.folder import UNCALIBRATED, FolderScene, open_folder
from datasets.images.decode import opened
from datasets.loaders import photographs
from datasets.loaders.recording import Frame
from datasets.video import extract, is_video

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, TILE, GAP = 8, 160, 6  # of the contact sheet, px
MOST_SHOWN = 96


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a person says of a capture; nothing of it is needed."""

    prior: StatedPrior | None = None
    focal: float | None = None  # mm, in terms of 35 mm film
    split: int | None = None
    background: Colour | Literal["real"] | None = None


def add(path: Path, told: Told, *, frames: int) -> FolderScene:
    """Write `unposed.toml` into a folder of photographs, or of any layout; of a video, write `frames` of its frames
    into a folder of its name beside it first. Raises SceneError, and leaves what was there as it was."""
    if not path.exists():
        raise SceneError(f"{path}: there is no such folder or file")
    folder = path
    if path.is_file():
        if not is_video(path):
            raise SceneError(f"{path}: is neither a folder nor a video; name the folder that the photographs lie in")
        folder = path.with_suffix("")
        if folder.exists():
            raise SceneError(
                f"{folder}: is there already; delete it to read {path.name} again, or add the folder itself"
            )
        extract(path, folder, frames)
    card = folder / OWN_CARD
    if card.exists():
        raise SceneError(f"{card}: is there already; edit it, or delete it to begin anew")
    source = _source(folder)
    with replacing(card) as draft:
        draft.write_text(text(source, told), encoding="utf-8")
    return open_folder(folder)


def _source(folder: Path) -> FolderScene:
    """As its layout has it; of photographs beside cameras that no loader can read, the photographs alone."""
    try:
        return open_folder(folder)
    except SceneError:
        if len(photographs.photographs_in(folder)) < photographs.FEWEST or not photographs.cameras_beside(folder):
            raise
        name = named_by_card(folder)
        return FolderScene(name=name, folder=folder, card=card_for(name, folder), layout=photographs.LAYOUT)


def text(source: FolderScene, told: Told) -> str:
    """The card of a scene, with all that could be said of it, commented out where nobody did."""
    recording = source.recording
    count = len(recording.frames)
    lines = [
        f"# {source.name}: made by `unposed data add`. All of it may be edited or deleted; delete the file to undo it.",
        *(f"# {note}" for note in source.notes if note != UNCALIBRATED or told.focal is None),
        *_unread(source),
        f'summary = "{count} {"photographs" if source.reference == "none" else "views"}"',
        f'loader = "{source.layout.name}"',
        _line("split", told.split, 8, "hold out the first of every so many, to be judged by"),
        _line("focal", told.focal, 26, "mm, in terms of 35 mm film: the main camera of most phones is 24 to 28"),
        _line("background", _toml(told.background), [1.0, 1.0, 1.0],
              'behind the object: red, green, blue from 0 to 1, or "real"; else as the images\' borders say'),
        "",
    ]  # fmt: skip
    if told.prior:
        lines.append(table(told.prior))
    else:
        lines.append("# [prior]: where the cameras may have been, for methods that want to know (gnerf);")
        lines.append(f"# `unposed data prior {shlex.quote(str(source.folder))} --orbit` writes it")
    return "\n".join(lines) + "\n"


def _unread(source: FolderScene) -> list[str]:
    beside = photographs.cameras_beside(source.folder) if source.layout.name == photographs.NAME else None
    return [f"# {beside} lies beside the photographs and is not read: no loader knows cameras there"] if beside else []


def _line(key: str, value: object, example: object, said: str) -> str:
    return f"{key} = {value}  # {said}" if value is not None else f"# {key} = {example}  # {said}"


def _toml(background: Colour | str | None) -> list[float] | str | None:
    return f'"{background}"' if isinstance(background, str) else background and list(background)


def set_prior(folder: Path, prior: StatedPrior) -> Path:
    """Write or replace the `[prior]` of a folder's card, and return the card's path. Raises SceneError."""
    open_folder(folder)
    card = folder / OWN_CARD
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else []
    lines = [line for line in lines if not re.match(r"\s*prior\s*=", line)]  # a family's name alone
    begin = next((k for k, line in enumerate(lines) if line.strip().startswith("[prior]")), len(lines))
    end = next((k for k, line in enumerate(lines) if k > begin and line.strip().startswith("[")), len(lines))
    kept = [line for line in lines[:begin] if not line.startswith(("# [prior]:", "# `unposed data prior"))]
    new = [*kept, *([""] if kept and kept[-1] else []), table(prior), *lines[end:]]
    before = card.read_bytes() if card.is_file() else None
    with replacing(card) as draft:
        draft.write_text("\n".join(new) + "\n", encoding="utf-8")
    try:
        open_folder(folder)
    except SceneError:
        card.unlink() if before is None else card.write_bytes(before)
        raise
    return card


def contact_sheet(source: FolderScene) -> Image:
    """All photographs, small, in the order in which they were taken; held-out ones framed. Raises SceneError."""
    from PIL import Image, ImageDraw, ImageOps

    every = source.recording.frames
    step = max(1, -(-len(every) // MOST_SHOWN))
    shown = every[::step]
    rows = -(-len(shown) // COLUMNS)
    cell = TILE + GAP
    sheet = Image.new("RGB", (COLUMNS * cell + GAP, rows * (cell + 14) + 28), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), f"{source.name}: {len(every)} photographs; framed: held out", fill="black")
    for k, frame in enumerate(shown):
        x, y = GAP + k % COLUMNS * cell, 24 + k // COLUMNS * (cell + 14)
        small = _small(frame)
        small = ImageOps.exif_transpose(small) if source.recording.upright else small
        sheet.paste(small.convert("RGB"), (x, y))
        if frame.heldout:
            pen.rectangle((x, y, x + small.width - 1, y + small.height - 1), outline=(213, 94, 0), width=3)
        pen.text((x, y + small.height), Path(frame.name).name[:24], fill=(90, 90, 90))
    return sheet


def _small(frame: Frame) -> Image:
    with opened(frame.image) as image:
        image.draft("RGB", (TILE, TILE))
        image.thumbnail((TILE, TILE))
        return image.copy()
