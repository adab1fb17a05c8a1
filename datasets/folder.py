"""Scenes found in folders: recognised by their files, refined by a card, read by the loader of their layout."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.regime import SIDE, Regime
from bench.scene import HeldOut, Reference, Scene, SceneError, Truth, shuffled_ids
from bench.stated_prior import WALKS, inline, prior_of
from bench.task import Capture, Input, ViewId
from datasets.absent import AbsentScene
from datasets.background import Backdrop, Colour, look, remembered
from datasets.card import OWN_CARD, Card, card_for, cards, named_by_card
from datasets.fingerprint import code_digest, digest_of, file_digest
from datasets.images.decode import darkroom, is_transparent
from datasets.images.roll import developed
from datasets.loaders.intrinsics import as_told
from datasets.loaders.recognise import layout_of, reading
from datasets.loaders.recording import Frame, Layout, Recording, turned
from datasets.scene_folders import scene_folders

DEPTH = 4
"""Folders below a data root that are searched."""

UNCALIBRATED = "no focal length is known: methods are given no intrinsics"
_WHITE = (1.0, 1.0, 1.0)
_HERE = Path(__file__).parent
_CODE = (
    _HERE / "folder.py",
    _HERE / "background.py",
    *(_HERE / "loaders" / f"{name}.py" for name in ("arrays", "image_files", "intrinsics", "recording")),
    *(_HERE / "images" / f"{name}.py" for name in ("decode", "lens", "mask", "resample", "roll")),
)


def sources(roots: Sequence[Path]) -> Iterable[FolderScene | AbsentScene]:
    """All scenes below the data roots, named by their path there, and the well-known ones that are absent."""
    found: dict[str, FolderScene | AbsentScene] = {}
    for root in roots:
        for folder in scene_folders(root, DEPTH):
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
class FolderScene:
    """A `bench.scene.SceneSource` that is read from a folder."""

    name: str
    folder: Path
    card: Card
    layout: Layout
    own: Card | None = None  # what the card was before a regime restated it
    least: int = max(SIDE.values())  # px, of the images read, where the folder has copies of several sizes

    def restated(self, regime: Regime) -> FolderScene:
        """As a regime has it: what it names takes the place of what the card says. Raises SceneError."""
        own = self.own or self.card
        return replace(self, card=own.restated(regime), own=own, least=max(regime.pixels, *SIDE.values()))

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
            found = self.backdrop.note if self.backdrop else None
            return (*self.recording.notes, *([found] if found else []))
        except SceneError:
            return ()

    @property
    def remedies(self) -> Mapping[Input, str]:
        """How a person gives what the scene cannot, by input."""
        card, folder = self.folder / OWN_CARD, shlex.quote(str(self.folder))
        return {
            "prior": f"say how it was taken: --prior orbit (or {', '.join(WALKS[1:])}) for this run, `unposed data "
            f"prior {folder} --orbit` for all, or paste into {card}: {inline(prior_of('orbit'))}",
            "camera": f"say `focal = 26` (mm, in terms of 35 mm film) in {card}",
        }

    @property
    def missing(self) -> None:
        return None

    @property
    def inputs(self) -> frozenset[Input]:
        """Reads the descriptions and one image's header; what is wrong with them is left for `load` to say."""
        try:
            masks = self._transparent or any(frame.mask for frame in self.recording.frames)
            calibrated = self.recording.calibrated
        except SceneError:
            masks, calibrated = False, True
        held: dict[Input, bool] = {"camera": calibrated, "prior": self.card.prior is not None, "masks": masks}
        return frozenset(name for name, given in held.items() if given)

    @cached_property
    def recording(self) -> Recording:
        """Frames, split and world as the card has them. Raises SceneError."""
        with reading(self.folder):
            sized = self.layout.read_sized
            recording = sized(self.folder, self.least) if sized else self.layout.read(self.folder)
            if self.card.camera is not None:
                recording = as_told(recording, self.card.camera, self.folder / OWN_CARD)
            elif self.card.focal is not None:
                recording = recording.with_focal(self.card.focal)
            if self.card.split != "own":
                recording = recording.split_every(self.card.split)
            if self.card.views is not None:
                recording = recording.thinned(self.card.views)
            if recording.posed and not recording.calibrated:
                raise SceneError(
                    f"{self.folder}: its cameras have poses and no focal length; say `focal = 26` (mm, in terms of 35 "
                    f"mm film) or `camera = {{fl_x = 500, cx = 320, cy = 240}}` (px) in a file {OWN_CARD} there"
                )
            if not recording.calibrated:
                recording = replace(recording, notes=(*recording.notes, UNCALIBRATED))
            return recording.checked()

    @cached_property
    def _transparent(self) -> bool:
        """Whether some image has transparent pixels, which are then not of the object."""
        with reading(self.folder):
            return any(is_transparent(frame.image, frame.name) for frame in self.recording.frames)

    @cached_property
    def backdrop(self) -> Backdrop | None:
        """What the images' borders say of the background; None where the card or transparent pixels say it."""
        if self.card.background is not None or self._transparent:
            return None
        with reading(self.folder):
            return remembered(f"backdrop-{self.digest(0)[:32]}", lambda: look(self.recording))

    @property
    def background(self) -> Colour | None:
        """Behind the object, opaque or composited; None: a real background."""
        if self.backdrop is not None:
            return self.backdrop.colour if self.backdrop.plain else None
        return None if self.card.background == "real" else self.card.background or _WHITE

    @property
    def behind(self) -> Colour | None:
        """What transparent pixels are composited on; None: there are none."""
        return (self.background or _WHITE) if self._transparent else None

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
            recording.optics, self.behind, side, upright=recording.upright,
            others=[frame.optics for frame in frames if frame.optics is not None],
        )  # fmt: skip
        images, masks = developed(room, frames, f"{self.folder.name}-{side}-{self.digest(side)[:32]}")
        train, kept = (np.flatnonzero([frame.heldout == held for frame in frames]) for held in (False, True))
        order = tuple(shuffled_ids(self.name, len(train)))
        shown = dict(sorted(zip(order, train.tolist(), strict=True)))
        return Scene(
            name=self.name,
            notes=self.notes,
            capture=Capture(
                images={view: images[k] for view, k in shown.items()},
                masks=None if masks is None else {view: masks[k] for view, k in shown.items()},
                camera=room.shown if recording.calibrated else None,
                prior=self.card.prior,
                background=self.background,
            ),
            truth=Truth(
                poses={view: pose for view, k in shown.items() if (pose := frames[k].pose) is not None},
                camera=room.shown,
                heldout=_heldout(frames, images[kept], None if masks is None else masks[kept]),
                reference=self.reference,
                order=order,
            ),
        )


def _heldout(frames: Sequence[Frame], images: NDArray[np.uint8], masks: NDArray[np.uint8] | None) -> HeldOut:
    """Of all frames in the order in which they were taken, and the pixels of those that are held out."""
    heldout = [k for k, frame in enumerate(frames) if frame.heldout]
    poses = [pose for k in heldout if (pose := frames[k].pose) is not None]
    after = np.cumsum([not frame.heldout for frame in frames])
    return HeldOut(
        ids=tuple(ViewId(f"h{k:03d}") for k in range(len(heldout))),
        poses=np.array(poses).reshape(-1, 4, 4),
        images=images,
        masks=masks,
        after=() if poses else tuple(int(after[k]) for k in heldout),
    )


def _source(folder: Path, name: str) -> FolderScene | AbsentScene:
    """A scene whose card is wrong is listed with that reason: it must not hide the others."""
    try:
        card = card_for(name, folder)
        return FolderScene(name=name, folder=folder, card=card, layout=layout_of(folder, card.loader))
    except SceneError as error:
        return AbsentScene(name=name, card=Card(), missing=str(error))
