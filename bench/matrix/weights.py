"""Weights that a method of ours reads, by what a person calls them: a file or a folder, or a name on Hugging Face."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from bench.matrix.interpreter import holds_home, nameable, without_ways_up


def in_full(weights: str) -> str:
    """A path made whole; a name as it is. Raises ValueError where a path leads to nothing, or to a person's home."""
    path = without_ways_up(Path(weights))
    if not path.exists():
        if weights.startswith(("/", "~", ".")):
            raise ValueError(f"weights={weights}: there is no such file or folder; name one, or a name on Hugging Face")
        return weights
    if holds_home(path):
        raise ValueError(f"weights={weights}: a method would be shown your home; name a folder of weights alone")
    return nameable(str(path))


def shown_with(weights: str) -> tuple[str, ...]:
    """What of this machine a worker must see to read them: links in a folder, as in a snapshot from Hugging Face, lead
    out of it."""
    path = Path(weights)
    if not path.is_absolute():
        return ()
    links = [file.resolve() for file in _files(path) if file.is_symlink()]
    return (weights, *sorted({str(link) for link in links if not link.is_relative_to(path.resolve())}))


def weights_digest(weights: str) -> str | None:
    """sha256 of a file, or of all in a folder; of a name the revision in the cache that workers are shown; None where
    there is none."""
    if Path(weights).is_absolute():
        return digest_of((Path(weights),))
    home = os.environ.get("HF_HOME")
    cache = os.environ.get("HF_HUB_CACHE") or (f"{home}/hub" if home else None)
    reference = Path(cache or "/dev/null").expanduser() / f"models--{weights.replace('/', '--')}" / "refs" / "main"
    return reference.read_text().strip() if reference.is_file() else None


@lru_cache(maxsize=256)
def digest_of(places: tuple[Path, ...], suffixes: tuple[str, ...] = ()) -> str:
    """sha256 of the names and contents of files, and of those in folders that end in one of the `suffixes`, if any.
    They are read once a process. Raises ValueError where one cannot be read."""
    made = hashlib.sha256()
    for place in places:
        for file in _files(place):
            if file == place or not suffixes or file.suffix in suffixes:
                made.update((file.name if file == place else file.relative_to(place).as_posix()).encode() + b"\0")
                made.update(_content(file))
    return made.hexdigest()


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise ValueError(f"{file}: it decides what a method answers, and cannot be read: {error.strerror}") from error


def _files(place: Path) -> Iterator[Path]:
    """A file, or those in a folder, in order, but for what is hidden there, and environments, which are gigabytes of
    what has versions."""
    if place.is_file():
        yield place
        return
    for folder, inner, files in os.walk(place):
        inner[:] = sorted(name for name in inner if not (name.startswith(".") or _is_environment(Path(folder, name))))
        yield from (Path(folder, name) for name in sorted(files) if Path(folder, name).is_file())


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").is_dir()
