"""What is said of each estimator: by its own repository, read and not run (2026-11). Nothing is imported here, so that
the recipes of `unposed submit`, which know no method, read this file by its path."""

from __future__ import annotations

from typing import NamedTuple


class Estimator(NamedTuple):
    title: str
    packages: tuple[str, ...]  # importable names in its environment
    install: str
    licence: str  # of its weights
    seen: tuple[str, ...]  # what its weights were trained on
    clone: str = ""  # a folder that nothing installs: its Python must be told where it lies


CLONED = "git clone https://github.com/{0} && pip install -e {1}"
PI3 = "git clone https://github.com/yyfz/Pi3 && pip install -r Pi3/requirements.txt -e Pi3"
MANY = "many public 3D data sets (see its paper)"
ESTIMATORS = {
    "vggt": Estimator(
        "VGGT", ("vggt",), CLONED.format("facebookresearch/vggt", "vggt"),
        "non-commercial (facebook/VGGT-1B); a commercial variant exists", ("CO3Dv2", "BlendedMVS", "DL3DV", MANY),
    ),
    "mapanything": Estimator(
        "MapAnything", ("mapanything",), CLONED.format("facebookresearch/map-anything", "map-anything"),
        "Apache-2.0 (facebook/map-anything-apache); CC-BY-NC (facebook/map-anything)", ("BlendedMVS", MANY),
    ),
    "pi3x": Estimator("Pi3X", ("pi3",), PI3, "CC-BY-NC", ("CO3Dv2", "BlendedMVS", MANY)),
    "pi3": Estimator("Pi3", ("pi3",), PI3, "CC-BY-NC", ("CO3Dv2", "BlendedMVS", MANY)),
    "da3": Estimator(
        "Depth Anything 3", ("depth_anything_3",), "pip install depth-anything-3 (numpy < 2, xformers)",
        "Apache-2.0 (BASE, SMALL); CC-BY-NC (larger)", (MANY,),
    ),
    "mast3r": Estimator(
        "MASt3R-SfM", ("mast3r",), "git clone --recursive https://github.com/naver/mast3r && pip install -r "
        "mast3r/requirements.txt -r mast3r/dust3r/requirements.txt",
        "CC-BY-NC-SA", ("CO3Dv2", "BlendedMVS", "MegaDepth", MANY), "mast3r",
    ),
}  # fmt: skip
