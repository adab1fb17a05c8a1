"""Images by the names that descriptions give them: completed, moved between machines, at another size, in order."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bench.scene import SceneError

SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
"""Tried in this order where a file name comes without one."""

DOWNSCALED = (2, 4, 8)
"""Where `images/` is gone, `images_2/` is read, else `images_4/`, `images_8/`, as nerfstudio names them."""


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that orders names as people do, 2.jpg before 10.jpg: numbers by their value."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if k % 2 else (1, 0, part) for k, part in enumerate(parts)]


def find_image(folder: Path, file_path: str, frame: str, layout: str) -> Path:
    """The image that a frame names. Raises SceneError where it is absent or outside.

    Its extension is completed. A path of another machine, absolute or from another working folder, is the file in
    `folder` at the longest end of it that is there, its own folder included (see `moved`).
    """
    given = file_path.replace("\\", "/")
    name = posixpath.normpath(_below(folder, given))
    inside = not (name.startswith(("/", "../")) or name == ".." or ":" in name.split("/")[0])
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    ends = ["/".join(parts[k:]) for k in range(max(int(inside), len(parts) - 1))]
    for end in ends:
        if (found := _at(folder, end)) is not None:
            return found
    if not inside:
        raise SceneError(f"{layout}: {frame} names a file outside of {folder}; write paths relative to that folder")
    raise SceneError(f"{layout}: {frame} names {name}, which is not in {folder}{_instead(folder / name)}")


def masks_named(folder: Path, named: Sequence[tuple[str, Mapping[str, Any]]], layout: str) -> list[Path | None]:
    """Of each frame, by its name for messages, the image that its `mask_path` names: white on the pixels that count,
    black on those that its author crossed out. All or none, as nerfstudio has it. Raises SceneError."""
    without = [name for name, frame in named if not frame.get("mask_path")]
    if len(without) == len(named):
        return [None] * len(named)
    if without:
        raise SceneError(
            f"{layout}: {without[0]} has no `mask_path` ({len(without)} of {len(named)} frames in {folder} have none, "
            "others have one); give every frame a mask, white where all of it counts, or none"
        )
    return [find_image(folder, str(frame["mask_path"]), f"the `mask_path` of {name}", layout) for name, frame in named]


def masks_said(masks: Sequence[Path | None]) -> list[str]:
    """What becomes of masks that frames name, in a sentence; nothing where there are none."""
    if None in masks or not masks:
        return []
    return [
        f"{len(masks)} frames name a mask of the pixels that count (`mask_path`): it is for methods that take masks "
        "(colmap_nerf[masks=true], gnerf[masks=true]); others see all pixels, and all are judged by all"
    ]


def moved(folder: Path, given: Sequence[str], images: Sequence[Path]) -> list[str]:
    """A note where paths that lead elsewhere were taken for files of `folder`."""
    strays = [
        path
        for path, image in zip(given, images, strict=True)
        if PurePosixPath(posixpath.normpath(_below(folder, path.replace("\\", "/")))).parent
        != PurePosixPath(image.relative_to(folder).as_posix()).parent
    ]
    if not strays:
        return []
    return [
        f"{len(strays)} of {len(given)} frames name a file that is not there ({strays[0]}): "
        f"those of the same name in {images[given.index(strays[0])].parent.relative_to(folder)}/ are read"
    ]


def _at(folder: Path, name: str) -> Path | None:
    path = folder / name
    for candidate in (path, *_downscaled(path)):
        ends = [candidate] if candidate.suffix in SUFFIXES else [candidate, *map(candidate.with_name, _completed(path))]
        for each in ends:
            if each.is_file():
                return each
        for each in ends:
            if (other := _in_another_form(each)) is not None:
                return other
    return None


def _completed(path: Path) -> list[str]:
    return [path.name + suffix for suffix in SUFFIXES] if path.name else []


def _downscaled(path: Path) -> Iterator[Path]:
    return (path.parent.with_name(f"{path.parent.name}_{n}") / path.name for n in DOWNSCALED if path.parent.name)


def _below(folder: Path, file_path: str) -> str:
    """An absolute path of a file that does lie in the folder, as a path relative to it; any other as it is."""
    path = Path(file_path)
    if not path.is_absolute():
        return file_path
    for home in (folder, folder.resolve()):
        if path.is_relative_to(home):
            return path.relative_to(home).as_posix()
    return file_path


def _in_another_form(path: Path) -> Path | None:
    """The file whose name is the same but for upper and lower case, or in another Unicode form: an accent apart from
    its letter, as macOS has it."""
    if not path.name or not path.parent.is_dir():
        return None
    wanted = _plain(path.name)
    return next(
        (each for each in sorted(path.parent.iterdir()) if _plain(each.name) == wanted and each.is_file()), None
    )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _instead(path: Path) -> str:
    """What lies there under the same name but for its ending."""
    try:
        beside = sorted(path.parent.glob(f"{path.stem}.*")) if path.stem else []
    except (OSError, ValueError):
        return ""
    return f"; {beside[0].name} is: name that" if beside else ""
