"""Scenes found in folders: recognised by their files, refined by a card, read by the loader of their layout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.scene import HeldOut, Reference, Scene, SceneError, Truth, shuffled_ids
from bench.task import Capture, Input, ViewId
from datasets.card import OWN_CARD, Card, card_for, cards, named_by_card
from datasets.fingerprint import code_digest, digest_of, file_digest
from datasets.images.decode import Darkroom, darkroom, is_transparent
from datasets.loaders.intrinsics import as_told
from datasets.loaders.layouts import BARE, LAYOUTS
from datasets.loaders.recognise import layout_of, reading
from datasets.loaders.recording import Frame, Layout, Recording, turned
from datasets.prior_words import inline, prior_of

DEPTH = 4
"""Folders below a data root that are searched."""

UNCALIBRATED = "no focal length is known: methods are given no intrinsics"
_WHITE = (1.0, 1.0, 1.0)
_HERE = Path(__file__).parent
_CODE = (
    _HERE / "folder.py",
    *(_HERE / "loaders" / f"{name}.py" for name in ("arrays", "image_files", "intrinsics", "recording")),
    *(_HERE / "images" / f"{name}.py" for name in ("decode", "lens", "resample")),
)

_log = logging.getLogger(__name__)


def sources(roots: Sequence[Path]) -> Iterable[FolderScene | AbsentScene]:
    """All scenes below the data roots, named by their path there, and the well-known ones that are absent."""
    found: dict[str, FolderScene | AbsentScene] = {}
    for root in roots:
        for folder in _scene_folders(root, DEPTH):
            name = named_by_card(root) if folder == root else folder.relative_to(root).as_posix()
            found.setdefault(name, _source(folder, name))
    for card in cards():
        for name in card.known:
            found.setdefault(name, AbsentScene(name=name, card=card, missing=card.how))
    return list(found.values())


def open_folder(path: Path, name: str | None = None) -> FolderScene:
    """The scene in any folder, called `name`, or after the folder. Raises SceneError, with every loader's reason."""
    if not path.is_dir():
        raise SceneError(f"{path}: there is no such folder")
    name = name or named_by_card(path)
    card = card_for(name, path)
    return FolderScene(name=name, folder=path, card=card, layout=layout_of(path, card.loader))


@dataclass(frozen=True, kw_only=True)
class AbsentScene:
    """A `bench.scene.SceneSource` that is known but not here."""

    name: str
    card: Card
    missing: str

    @property
    def summary(self) -> str:
        return self.card.summary

    @property
    def reference(self) -> Reference:
        return self.card.reference or "colmap"

    @property
    def inputs(self) -> frozenset[Input]:
        return frozenset({"camera", "prior"} if self.card.prior else {"camera"})

    def digest(self, side: int) -> str:
        raise SceneError(f"{self.name}: {self.missing}")

    def load(self, side: int) -> Scene:
        raise SceneError(f"{self.name}: {self.missing}")


@dataclass(frozen=True, kw_only=True)
class FolderScene:
    """A `bench.scene.SceneSource` that is read from a folder."""

    name: str
    folder: Path
    card: Card
    layout: Layout

    @property
    def summary(self) -> str:
        return self.card.summary or f"{self.layout.name} layout in {self.folder}"

    @property
    def reference(self) -> Reference:
        """Where its poses come from: nowhere, or what the card says, the files, or what is usual for the layout."""
        try:
            recording = self.recording
        except SceneError:
            return self.card.reference or self.layout.reference
        return (self.card.reference or recording.reference or self.layout.reference) if recording.posed else "none"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is assumed of it, a sentence each; what is wrong with it is left for `load` to say."""
        try:
            return self.recording.notes
        except SceneError:
            return ()

    @property
    def remedies(self) -> Mapping[Input, str]:
        """How a person gives what the scene cannot, by input."""
        card = self.folder / OWN_CARD
        usual = inline(prior_of("orbit"))
        return {
            "prior": f"`unposed data prior {self.folder} --orbit` says how it was taken, or paste into {card}: {usual}",
            "camera": f"say `focal = 26` (mm, in terms of 35 mm film) in {card}",
        }

    @property
    def missing(self) -> None:
        return None

    @property
    def inputs(self) -> frozenset[Input]:
        """Reads the descriptions and one image's header; what is wrong with them is left for `load` to say."""
        try:
            masks = self.background is not None or any(frame.mask for frame in self.recording.frames)
            calibrated = self.recording.calibrated
        except SceneError:
            masks, calibrated = False, True
        held: dict[Input, bool] = {"camera": calibrated, "prior": self.card.prior is not None, "masks": masks}
        return frozenset(name for name, given in held.items() if given)

    @cached_property
    def recording(self) -> Recording:
        """Frames, split and world as the card has them. Raises SceneError."""
        with reading(self.folder):
            recording = self.layout.read(self.folder)
            if self.card.camera is not None:
                recording = as_told(recording, self.card.camera, self.folder / OWN_CARD)
            elif self.card.focal is not None:
                recording = recording.with_focal(self.card.focal)
            if self.card.split != "own":
                recording = recording.split_every(self.card.split)
            if recording.posed and not recording.calibrated:
                raise SceneError(
                    f"{self.folder}: its cameras have poses and no focal length; say `focal = 26` (mm, in terms of 35 "
                    f"mm film) or `camera = {{fl_x = 500, cx = 320, cy = 240}}` (px) in a file {OWN_CARD} there"
                )
            if not recording.calibrated:
                recording = replace(recording, notes=(*recording.notes, UNCALIBRATED))
            return recording.checked()

    @cached_property
    def background(self) -> tuple[float, float, float] | None:
        """Behind transparent pixels; None where no image has one, and so all show a background of their own."""
        with reading(self.folder):
            transparent = any(is_transparent(frame.image, frame.name) for frame in self.recording.frames)
        return (self.card.background or _WHITE) if transparent else None

    def digest(self, side: int) -> str:
        """sha256 over the bytes of descriptions and images, the card, the loader and the side. Raises SceneError."""
        recording = self.recording
        masks = (frame.mask for frame in recording.frames if frame.mask is not None)
        files = sorted({*recording.files, *(frame.image for frame in recording.frames), *masks})
        contents = [[Path(os.path.relpath(file, self.folder)).as_posix(), file_digest(file)] for file in files]
        loader = [
            self.layout.name,
            self.layout.version,
            code_digest([*_CODE, _HERE / "loaders" / f"{self.layout.name}.py"]),
        ]
        return digest_of(self.name, loader, self.card.decisive, contents, side)

    def load(self, side: int) -> Scene:
        """Decode, composite, undistort and resample. Raises SceneError naming file and frame."""
        with reading(self.folder):
            return self._developed(side)

    def _developed(self, side: int) -> Scene:
        recording = self.recording
        frames = turned(recording.frames, self.card.up) if self.card.up else recording.frames
        room = darkroom(
            recording.optics, self.background, side, upright=recording.upright, turn=recording.turn,
            others=[frame.optics for frame in frames if frame.optics is not None],
        )  # fmt: skip
        train = [frame for frame in frames if not frame.heldout]
        order = tuple(shuffled_ids(self.name, len(train)))
        shown = {view: (frame, *_develop(room, frame)) for view, frame in zip(order, train, strict=True)}
        shown = dict(sorted(shown.items()))
        return Scene(
            name=self.name,
            notes=recording.notes,
            capture=Capture(
                images={view: image for view, (_, image, _) in shown.items()},
                masks={view: mask for view, (_, _, mask) in shown.items() if mask is not None} or None,
                camera=room.shown if recording.calibrated else None,
                prior=self.card.prior,
                background=self.background,
            ),
            truth=Truth(
                poses={view: frame.pose for view, (frame, _, _) in shown.items() if frame.pose is not None},
                camera=room.shown,
                heldout=_heldout(room, frames),
                reference=self.reference,
                order=order,
            ),
        )


def _develop(room: Darkroom, frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    return room.develop(frame.image, frame.name, frame.optics, frame.mask)


def _heldout(room: Darkroom, frames: Sequence[Frame]) -> HeldOut:
    """Of all frames in the order in which they were taken."""
    heldout = [frame for frame in frames if frame.heldout]
    developed = [_develop(room, frame) for frame in heldout]
    masks = [mask for _, mask in developed if mask is not None]
    poses = [frame.pose for frame in heldout if frame.pose is not None]
    after = np.cumsum([not frame.heldout for frame in frames])
    return HeldOut(
        ids=tuple(ViewId(f"h{k:03d}") for k in range(len(heldout))),
        poses=np.array(poses).reshape(-1, 4, 4),
        images=np.stack([image for image, _ in developed]),
        masks=np.stack(masks) if masks else None,
        after=() if poses else tuple(int(after[k]) for k, frame in enumerate(frames) if frame.heldout),
    )


def _source(folder: Path, name: str) -> FolderScene | AbsentScene:
    """A scene whose card is wrong is listed with that reason: it must not hide the others."""
    try:
        card = card_for(name, folder)
        return FolderScene(name=name, folder=folder, card=card, layout=layout_of(folder, card.loader))
    except SceneError as error:
        return AbsentScene(name=name, card=Card(), missing=str(error))


def _looks_like_a_scene(folder: Path) -> bool:
    """One that cannot even be looked at counts: it is listed, with the reason."""
    try:
        asked = (*LAYOUTS, BARE) if (folder / OWN_CARD).is_file() else LAYOUTS
        return any(layout.objection(folder) is None for layout in asked)
    except Exception:  # noqa: BLE001 - see reading
        return True


def _scene_folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders of a known layout, in a fixed order; what is inside of one is its own."""
    if _looks_like_a_scene(root):
        yield root
        return
    try:
        with os.scandir(root) as entries:
            below = sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        _log.warning("data root: %s cannot be read (%s)", root, error.strerror)
        return
    for folder in below if depth else ():
        yield from _scene_folders(folder, depth - 1)
