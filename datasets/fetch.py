"""Getting published data: any of several addresses, resumed where it broke off, checked, and unpacked with care."""

from __future__ import annotations

import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from bench.scene import SceneError
from datasets.card import Download
from datasets.fingerprint import file_digest

TIMEOUT = 30.0
"""Seconds without a byte after which an address counts as dead."""

TRIES = 2
"""Requests to each address: a second one goes on where the first broke off, or begins anew after a wrong checksum."""

_CHUNK = 1 << 20


MOST_UNPACKED, MOST_RATIO = 100 << 30, 200
"""Bytes that an archive may unpack to, and how many times its own size from a gigabyte on: images hardly shrink."""

Progress = Callable[[int, int | None], None]
"""Told how many bytes of a file are here, and of how many, where the server says it."""


def _quiet(have: int, whole: int | None) -> None:
    pass


def obtain(downloads: Iterable[Download], root: Path, progress: Progress = _quiet) -> None:
    """Everything that a card names, unpacked below a data root. Raises SceneError."""
    for one in downloads:
        archive = download(one, root / ".downloads", progress)
        unpack(archive, root / one.unpack_to)
        archive.unlink()


def download(wanted: Download, folder: Path, progress: Progress = _quiet) -> Path:
    """The file, whole and of the right sha256, in `folder`; one that is there already is not fetched again.

    What arrived before a break is kept in `<name>.part` and continued by the next address, or the next call.
    Raises SceneError when every address fails.
    """
    target = folder / (PurePosixPath(urlsplit(wanted.urls[0]).path).name or wanted.sha256)
    if target.is_file() and file_digest(target) == wanted.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failures = []
    for url in (url for url in wanted.urls for _ in range(TRIES)):
        try:
            _continue(url, part, progress)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{url}: {_reason(error)}")
            continue
        found = file_digest(part)
        if found == wanted.sha256:
            return part.replace(target)
        part.unlink()
        failures.append(f"{url}: its sha256 is {found[:12]}..., not {wanted.sha256[:12]}...")
    raise SceneError(
        f"{target.name} could not be fetched ({'; '.join(dict.fromkeys(failures))}); try again, or get it by hand"
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive. Raises SceneError, before anything is written, for members that are links, devices,
    or lie outside of the folder, and for an archive that is broken."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                _check(archive, [(info.filename, _is_plain(info)) for info in file.infolist()])
                _refuse_bomb(archive, sum(info.file_size for info in file.infolist()), folder)
                file.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                members = file.getmembers()
                _check(archive, [(member.name, member.isfile() or member.isdir()) for member in members])
                _refuse_bomb(archive, sum(member.size for member in members), folder)
                file.extractall(folder, members, filter="data")
        else:
            raise SceneError(f"{archive}: is neither a zip nor a tar archive")
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SceneError(f"{archive}: cannot be unpacked ({error}); fetch it again") from error


def _refuse_bomb(archive: Path, unpacked: int, folder: Path) -> None:
    """Raises SceneError for what would fill the disk, by accident or not."""
    packed, free = archive.stat().st_size, shutil.disk_usage(folder).free
    if unpacked > MOST_UNPACKED or (unpacked > 1 << 30 and unpacked > MOST_RATIO * packed):
        raise SceneError(
            f"{archive}: {packed} bytes would unpack to {unpacked / 1e9:.1f} GB, which no images do; do not trust it"
        )
    if unpacked > free:
        raise SceneError(
            f"{archive}: unpacks to {unpacked / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB left; make room, or "
            "name another data root"
        )


def _continue(url: str, part: Path, progress: Progress) -> None:
    """Append what is still missing of `part`; begin anew where the server cannot continue. Raises SceneError where the
    disk cannot hold it."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing was missing: the checksum decides
        raise
    with answer, part.open("ab" if answer.status == http.client.PARTIAL_CONTENT else "wb") as file:
        length = answer.headers.get("Content-Length")
        begun = file.tell()
        if length is not None and int(length) > (free := shutil.disk_usage(part.parent).free):
            raise SceneError(
                f"{url} is of {int(length) / 1e9:.1f} GB, and {part.parent} has {free / 1e9:.1f} GB left; make room, "
                "or name another data root"
            )
        received = 0
        while chunk := answer.read(_CHUNK):
            received += file.write(chunk)
            progress(begun + received, None if length is None else begun + int(length))
    if length is not None and received < int(length):
        raise http.client.IncompleteRead(b"", int(length) - received)


def _check(archive: Path, members: Sequence[tuple[str, bool]]) -> None:
    for name, plain in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts[0] if path.parts else ""):
            raise SceneError(f"{archive}: member {name!r} would be written outside of its folder; do not trust it")
        if not plain:
            raise SceneError(f"{archive}: member {name!r} is a link or a device; do not trust it")


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """A file or a folder: the upper half of the attributes is the Unix mode, where a zip has one."""
    kind = info.external_attr >> 28
    return kind in (0, 0o04, 0o10)  # absent, folder, regular file


def _reason(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"the server answers {error.code}"
        case http.client.IncompleteRead():
            return "the connection broke off"
        case urllib.error.URLError():
            return str(error.reason)
        case _:
            return str(error) or type(error).__name__
