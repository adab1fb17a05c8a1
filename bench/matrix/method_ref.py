"""A method by name and by what it says of itself: all that the judge ever holds of one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from bench.matrix.code_digest import TREE, code_digests, code_files, libraries
from bench.task import Accelerator, InitialPoses, Traits

KERNELS = "methods/nerf/backends/numba_cpu/jit.py"


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method that can be named to a worker process: `module:Class`, and the file it came from if it is a path."""

    name: str
    target: str  # "methods.nerf.method:Nerf"
    file: str | None = None  # set for `-m path/to/method.py`
    python: str | None = None  # an interpreter of another environment: see `is_elsewhere`
    shown: tuple[str, ...] = ()  # weights that a person named in its options: files and folders that its worker sees

    def code(self) -> dict[str, str]:
        """Digests of its own modules (see bench.matrix.code_digest)."""
        return code_digests(self.source)

    def files(self) -> tuple[Path, ...]:
        """Those modules."""
        return code_files(self.source)

    def libraries(self) -> frozenset[str]:
        """Top-level names of the third-party packages that these modules import."""
        return libraries(self.source)

    @property
    def source(self) -> Path:
        """Its module's file. Raises ImportError."""
        return Path(self.file) if self.file else find_source(self.target.partition(":")[0])

    @property
    def is_elsewhere(self) -> bool:
        """Whether its worker runs under `python`. A method of this environment that has such an option calls it."""
        return self.python is not None and self.file is not None

    @property
    def is_shipped(self) -> bool:
        """Whether it is one of this project's own."""
        named = self.file is None and self.target.startswith("methods.")  # a stranger's may have no source to be found
        return named and self.source.resolve().is_relative_to(TREE / "methods")

    @property
    def uses_kernels(self) -> bool:
        """Whether this project's compiled kernels are among what it imports."""
        return KERNELS in self.code()

    def places(self) -> Iterator[Path]:
        """Files and folders that a worker needs to import it, beside what is installed.

        All that lies beside a file called method.py; beside any other file, the files and packages there: that may be
        the folder in which a person works, with suites and data in it.
        """
        source = self.source
        if self.file is None:
            yield package_of(source)
        elif source.name == "method.py":
            yield source.parent
        else:
            for path in source.parent.iterdir():
                if path.is_file() or (path / "__init__.py").is_file():
                    yield path


@dataclass(frozen=True, kw_only=True)
class MethodDescription:
    """What a method says of itself under its options: told by a worker, for the judge never imports one."""

    name: str
    version: str
    summary: str
    paper: str
    traits: Traits
    config: Mapping[str, Any]  # whole, as JSON
    options: tuple[Mapping[str, Any], ...]  # see bench.matrix.option_docs.Option
    numbers: str  # figures that its README says were reached
    weights: tuple[str, ...] = ()  # that it reads: files, folders, names on Hugging Face
    pretrained_poses: bool = False  # poses come from a network that was trained to give them: a tier of its own

    @property
    def calls_python(self) -> bool:
        """Whether it calls an interpreter of another environment: one that has an option of this name."""
        return "python" in self.config


def described(raw: Mapping[str, Any]) -> MethodDescription:
    """From JSON. Raises TypeError, KeyError or ValueError where it is no description."""
    traits = dict(raw["traits"])
    for name in ("needs", "uses"):
        traits[name] = frozenset(traits[name])
    for name in ("tuned_on", "pretrained_on", "packages", "prepares"):
        traits[name] = tuple(traits.get(name, ()))
    traits["start"] = InitialPoses(**traits["start"])
    if device := traits.get("accelerator"):
        traits["accelerator"] = Accelerator(**{**device, "packages": tuple(device["packages"])})
    lists = {name: tuple(raw.get(name, ())) for name in ("options", "weights")}
    return MethodDescription(**{**raw, "traits": Traits(**traits), **lists})


def package_of(source: Path) -> Path:
    """The outermost package that a module's file lies in, or the file where it lies in none."""
    place = source
    while (place.parent / "__init__.py").exists():
        place = place.parent
    return place


def find_source(name: str) -> Path:
    """File of a module, found without importing its packages. Raises ImportError."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top) if top not in sys.modules else sys.modules[top].__spec__
    path = top
    for part in rest:
        path = f"{path}.{part}"
        spec = spec and PathFinder.find_spec(path, spec.submodule_search_locations)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module named {name!r}")
    return Path(spec.origin)
