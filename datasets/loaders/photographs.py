"""Photographs and nothing else: a scene whose cameras nobody knows, with a focal length where EXIF tells one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.exif import focal_of
from datasets.images.lens import Optics
from datasets.loaders.image_files import natural
from datasets.loaders.intrinsics import ONE_CAMERA, guessed
from datasets.loaders.recording import Frame, Layout, Recording

NAME = "photographs"
HELDOUT_EVERY = 8
FEWEST = 5  # photographs: four to see, and one to be judged by

ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".heic", ".heif")
HOMES = ("", "images", "input", "rgb", "image", "photos")  # where photographs may lie, in this order
MASKS = ("masks", "mask")
_CAMERAS = (
    "transforms*.json", "cameras*.npz", "poses_bounds.npy", "*_par.txt", "sparse", "dense", "cameras.bin",
    "cameras.txt", "cams*", "*.log", "*.tum", "groundtruth.txt", "annotations.json", "frame_annotations.jgz",
)  # fmt: skip
"""What the layouts with cameras leave in a folder."""


_Kind = tuple[float, float | None]
"""Aspect, and focal length in longest sides."""


class _Lens(NamedTuple):
    shape: tuple[int, int]  # px
    focal: float | None  # px
    kind: _Kind  # what photographs of one camera share


def photographs_in(folder: Path) -> list[Path]:
    """The images of the first of HOMES that holds some, in natural order: 2.jpg before 10.jpg."""
    for home in HOMES:
        place = folder / home
        if place.is_dir():
            found = [p for p in place.iterdir() if p.suffix.lower() in ENDINGS and p.name[0] != "." and p.is_file()]
            if found:
                return sorted(found, key=lambda path: natural(path.name))
    return []


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is. Cameras of some layout must not be overlooked, unless
    the folder has a card that says so."""
    count = len(photographs_in(folder))
    if count < FEWEST:
        return f"{count or 'no'} photographs in it, and {FEWEST} are the fewest" if count else "no photographs in it"
    if (folder / "unposed.toml").is_file():
        return None
    seen = cameras_beside(folder)
    return seen and f"{seen} beside the photographs: `unposed data add` makes a scene of the photographs alone"


def cameras_beside(folder: Path) -> str | None:
    """The name of a file or folder there that looks as though it held cameras, by some layout or other."""
    return next((path.name for glob in _CAMERAS for path in sorted(folder.glob(glob))), None)


def read(folder: Path) -> Recording:
    """Photographs in natural order, one in eight held out; masks of the object from `masks/`, by the same names.

    Photographs of one scene come from one camera: those that share their shape and focal length with the most others
    are kept, and a note says what was left out. Copies of other sizes are the same camera. Raises SceneError.
    """
    paths = photographs_in(folder)
    lenses = [_lens(path) for path in paths]
    kind = _commonest([lens.kind for lens in lenses])
    kept = [(path, lens) for path, lens in zip(paths, lenses, strict=True) if _alike(lens.kind, kind)]
    if len(kept) < FEWEST:
        raise SceneError(
            f"{folder}: no {FEWEST} of its {len(paths)} photographs share their shape and focal length; "
            "keep those of one camera, all held the same way"
        )
    masks = _masks(folder, [path for path, _ in kept])
    first = _optics(kept[0][1])
    each = [_optics(lens) for _, lens in kept]
    own = [None] * len(kept) if all(optics == first for optics in each) else each
    frames = tuple(
        Frame(name=path.name, image=path, pose=None, heldout=False, optics=optics, mask=mask)
        for (path, _), optics, mask in zip(kept, own, masks, strict=True)
    )
    notes = [_said(kept[0][1], len(kept)), *_left_out(paths, lenses, kept)]
    recording = Recording(
        folder=folder, frames=frames, optics=first, files=(), upright=True, notes=tuple(notes), reference="none",
        calibrated=kept[0][1].focal is not None,
    )  # fmt: skip
    return recording.split_every(HELDOUT_EVERY)


def _lens(path: Path) -> _Lens:
    width, height = image_size(path, path.name, upright=True)
    focal = focal_of(path, width, height)
    longest = max(width, height)
    return _Lens((width, height), focal, (width / height, None if focal is None else focal / longest))


def _commonest(kinds: Sequence[_Kind]) -> _Kind:
    """The median of the largest group that is alike."""
    counts = Counter(kinds)
    most = max(counts, key=lambda one: sum(count for other, count in counts.items() if _alike(one, other)))
    group = [kind for kind in kinds if _alike(kind, most)]
    focals = [focal for _, focal in group if focal is not None]
    return median(aspect for aspect, _ in group), median(focals) if focals else None


def _alike(one: _Kind, other: _Kind) -> bool:
    """Whether they differ by no more than rounding and autofocus."""
    if abs(one[0] - other[0]) > ONE_CAMERA or (one[1] is None) != (other[1] is None):
        return False
    return one[1] is None or other[1] is None or abs(one[1] - other[1]) <= 2 * ONE_CAMERA


def _optics(lens: _Lens) -> Optics:
    width, height = lens.shape
    if lens.focal is None:
        return guessed(width, height)
    camera = Camera(width=width, height=height, fx=lens.focal, fy=lens.focal, cx=width / 2, cy=height / 2)
    return Optics(camera=camera)


def _masks(folder: Path, images: Sequence[Path]) -> list[Path | None]:
    """Of each photograph `masks/NAME.png` or `masks/NAME.jpg.png`; all or none. Raises SceneError."""
    places = [folder / name for name in MASKS if (folder / name).is_dir()]
    if not places:
        return [None] * len(images)
    found = []
    for image in images:
        names = [f"{image.stem}.png", f"{image.name}.png", image.name]
        found.append(next((places[0] / name for name in names if (places[0] / name).is_file()), None))
    without = [image.name for image, mask in zip(images, found, strict=True) if mask is None]
    if without and len(without) < len(images):
        raise SceneError(
            f"{places[0]}: {without[0]} has no mask ({len(without)} of {len(images)} have none); give every photograph "
            "one, white on the object, or none"
        )
    return found


def _said(lens: _Lens, count: int) -> str:
    width, height = lens.shape
    if lens.focal is None:
        return f"{count} photographs of {width}x{height} px"
    return (
        f"{count} photographs of {width}x{height} px, focal length {lens.focal:.0f} px from EXIF, within a few percent"
    )


def _left_out(paths: Sequence[Path], lenses: Sequence[_Lens], kept: Sequence[tuple[Path, _Lens]]) -> list[str]:
    taken = {path for path, _ in kept}
    others = [(path, lens) for path, lens in zip(paths, lenses, strict=True) if path not in taken]
    if not others:
        return []
    path, lens = others[0]
    about = f"{lens.shape[0]}x{lens.shape[1]} px" + (f", {lens.focal:.0f} px" if lens.focal else "")
    return [
        f"{len(others)} of {len(paths)} photographs are of another shape or focal length and are left out "
        f"({path.name}: {about}); a scene is one camera, held one way"
    ]


LAYOUT = Layout(name=NAME, version=1, reference="none", objection=objection, read=read)
