"""The default MLflow store, a sqlite file beside the suites: where it is, and that it is whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from bench.files import remove


def default_store(suite: Path) -> Path:
    """The sqlite file beside the suites, shared by all of them."""
    return suite.resolve().parent / "mlflow.db"


def default_uri(suite: Path) -> str:
    """The URI of the default store."""
    return uri_of(default_store(suite))


def uri_of(file: Path) -> str:
    """The URI of a sqlite file, quoted where a folder's name asks for it, as it does below `feature%2Fx`.

    There it names its driver: of what begins with `sqlite:///` MLflow makes the folders, and does so without unquoting.
    """
    path = str(file)
    return f"sqlite:///{path}" if quote(path) == path else f"sqlite+pysqlite:///{quote(path)}"


def file_of(uri: str) -> Path | None:
    """The file of a sqlite store, None for any other store."""
    from sqlalchemy import make_url

    if not uri.startswith("sqlite"):
        return None
    file = make_url(uri).database
    return Path(file).resolve() if file and file != ":memory:" else None


def make_whole(file: Path, make: Callable[[str], object]) -> Path | None:
    """See that `file` is a store with all of its tables: MLflow takes seconds to make them, and cannot open what a kill
    leaves of them.

    `make` has MLflow make the tables of the store at a URI. A store without a run whose tables are not those of a new
    one is set aside; returns where, None where there was none. One that holds runs is left as it is.
    """
    if _has_runs(file):
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file):
        for draft in file.parent.glob(f".{file.name}.*.tmp*"):
            remove(draft)
        if _has_runs(file):  # by now
            return None
        draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")  # MLflow remembers by name what it opened
        try:
            make(uri_of(draft))
            if file.exists() and _tables(file) == _tables(draft):
                return None
            aside = _aside(file) if file.exists() else None
            if aside:
                file.replace(aside)
            draft.replace(file)
        finally:
            remove(draft)
        return aside


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.with_name(f".{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _has_runs(file: Path) -> bool:
    return bool(_asked(file, "select 1 from runs limit 1"))


def _tables(file: Path) -> list[tuple[str, ...]] | None:
    """Names and columns of all tables, and the revision of their schema; None where it is no database."""
    held = "sqlite_master as m, pragma_table_info(m.name) as c"  # not their SQL: it has constraints in any order
    tables = _asked(file, f"select m.name, c.name from {held} where m.type = 'table' order by 1, 2")
    revision = _asked(file, "select version_num from alembic_version")
    return None if tables is None or revision is None else [*tables, *revision]


def _asked(file: Path, query: str) -> list[tuple[str, ...]] | None:
    """Rows of a query; None where the file cannot answer it."""
    if not file.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as opened:
            return opened.execute(query).fetchall()
    except sqlite3.DatabaseError:
        return None


def _aside(file: Path) -> Path:
    names = (file.with_name(f"{file.stem}.broken-{k}{file.suffix}") for k in range(1, 1000))
    return next(name for name in names if not name.exists())
