"""A result carries a seal, so that one which was changed after it was judged is found out and settled again.

The digest is of everything else in it; the code of it is made with a key of this user's, which lies where no worker
sees it. A result from another machine has a key that is not here: it is settled again from its fit, unless a person
says that such results are trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bench.record import Result, canonical

BEFORE = "posefree/1"
"""Results of this protocol were not sealed; of any later one, a result without a seal was robbed of it."""

TRUST = "UNPOSED_TRUST_FOREIGN"


def sealed(result: Result) -> Result:
    """The same with its seal. Where no key can be kept, the seal is a digest alone."""
    digest = _digest(result)
    seal = {"sha256": digest}
    if key := _key():
        seal |= {"key": _name(key), "code": _code(key, digest)}
    return replace(result, seal=seal)


def is_broken(result: Result) -> bool:
    """Whether a result was changed after it was sealed, or is sealed by a key that is not this user's, and so by
    anybody: such ones are taken where UNPOSED_TRUST_FOREIGN is set. posefree/1 had no seals."""
    if not result.seal:
        return result.protocol != BEFORE
    digest = _digest(result)
    if result.seal.get("sha256") != digest:
        return True
    key = _key()
    if key and result.seal.get("key") == _name(key):
        return result.seal.get("code") != _code(key, digest)
    return bool(key) and not os.environ.get(TRUST)


def key_folder() -> Path:
    """The user's folder for state (XDG_STATE_HOME is respected)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "unposed"


@lru_cache(maxsize=1)
def _key() -> bytes | None:
    """Made on first use, readable by nobody else; None where it can be neither read nor written."""
    path = key_folder() / "seal.key"
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            handle, draft = tempfile.mkstemp(dir=path.parent)  # which nobody else can read
            os.write(handle, secrets.token_bytes(32))
            os.close(handle)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # whole, and not over another run's
            Path(draft).unlink()
        found = path.read_bytes()
        return found if len(found) == 32 else None
    return None


def _digest(result: Result) -> str:
    return hashlib.sha256(canonical(replace(result, seal={}))).hexdigest()


def _name(key: bytes) -> str:
    return hashlib.sha256(b"unposed" + key).hexdigest()[:12]


def _code(key: bytes, digest: str) -> str:
    return hmac.new(key, digest.encode(), "sha256").hexdigest()
