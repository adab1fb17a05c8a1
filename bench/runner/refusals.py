"""What is refused before a cell is touched: a folder that cannot be had, a name that two scenes have."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.matrix.again import lay_elsewhere
from bench.matrix.plan import Planned
from bench.record import read_result
from bench.scene import SceneError


class Unwritable(ValueError):  # noqa: N818 - reads as what it says
    """A folder where nothing can be written."""


def check_place(suite: Path) -> None:
    """Raises Unwritable where a suite's folder would lie below a file, or cannot be looked at, as through a link that
    leads back to itself."""
    with writing(suite):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # which is told of below
            suite.stat()
        inner = next(place for place in (suite, *suite.absolute().parents) if place.exists())
        if not inner.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(inner))


def make_suite(suite: Path) -> None:
    """Make a suite's folder, and see that a file can be written there. Raises Unwritable."""
    probe = suite / f".{os.getpid()}.probe.tmp"
    with writing(suite):
        suite.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(4096))
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Whatever the system says of a folder that is written to, as Unwritable."""
    try:
        yield
    except OSError as error:
        said = error.strerror or type(error).__name__
        place = f" ({error.filename})" if error.filename and Path(error.filename) != folder else ""
        raise Unwritable(f"--out {folder}: cannot be written to: {said}{place}; name another folder") from error


def check_scenes(suite: Path, cells: Iterable[Planned]) -> None:
    """Raises SceneError where the suite holds a cell of another scene that has the name of one of these."""
    for planned in cells:
        try:
            earlier = read_result(suite / planned.cell.folder)
        except (OSError, ValueError):
            continue
        if other := lay_elsewhere(earlier, planned.source):
            raise SceneError(
                f"{suite} holds cells of another scene called {planned.cell.scene!r}, in {other}: two scenes need two "
                "names; rename a folder, or choose another --out"
            )
