"""What decides a method's answers in its other environment: versions, and where they say too little, contents. A clone
that is edited or pulled keeps its version, and weights have none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from bench.matrix.interpreter import LIMIT, Interpreter, clean_environment, interpreter
from bench.matrix.method_ref import MethodRef
from bench.matrix.weights import digest_of, weights_digest

LOOK = """
import importlib.util, json, sys
said = {}
for name in sys.argv[1:]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        continue
    if spec:
        said[name] = list(spec.submodule_search_locations or [spec.origin])
print("\\n" + json.dumps(said))
"""
INSTALLED = {"site-packages", "dist-packages"}
SOURCES = (".py", ".so", ".json", ".yaml", ".yml", ".toml")


def environment_of(ref: MethodRef, packages: Iterable[str] = (), weights: Iterable[str] = ()) -> dict[str, str]:
    """Of `ref.python` its version, those of the packages that the method imports, and digests: of the `packages` that
    it names, of others that no version tells, of its `weights`. {} where it has no other environment."""
    if not ref.python:
        return {}
    other, imported = interpreter(ref.python), ref.libraries()
    known = other.versions({*imported, *packages, "numpy"})
    known |= source_digests(other, packages, imported if ref.is_elsewhere else ())
    return known | {f"{each} (weights)": made for each in weights if (made := weights_digest(each))}


def source_digests(other: Interpreter, named: Iterable[str], imported: Iterable[str]) -> dict[str, str]:
    """sha256 of the sources of such packages as a version does not tell: all that are `named`, and of those that are
    `imported` the ones that have none, or lie where they are edited. Keys are their names and ` (sources)`."""
    whole = frozenset(named)
    found = {}
    for name, places in _places(other.path, tuple(sorted(whole.union(imported)))).items():
        told = name in other.packages and all(map(_is_installed, places))
        if name in whole or not told:
            found[f"{name} (sources)"] = digest_of(tuple(map(_clone, places)) if name in whole else places, SOURCES)
    return found


@lru_cache(maxsize=64)
def _places(python: str, names: tuple[str, ...]) -> Mapping[str, tuple[Path, ...]]:
    """Files and folders of such of these modules as there are."""
    if not names:
        return {}
    try:
        done = subprocess.run(
            [python, "-s", "-c", LOOK, *names], env=clean_environment(), cwd="/", capture_output=True, text=True,
            timeout=LIMIT, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said: dict[str, list[str | None]] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ValueError(f"python {python}: it did not say where {', '.join(names)} lie") from error
    return {name: tuple(Path(place) for place in found if place and "/" in place) for name, found in said.items()}


def _is_installed(place: Path) -> bool:
    return bool(INSTALLED.intersection(place.parts))


def _clone(place: Path) -> Path:
    """The clone that a package lies in: others that it brings along, as submodules, count as its own."""
    return place.parent if (place.parent / ".git").exists() else place
