"""How poses of well-known estimators come in: export, estimate in their own environment, submit."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from bench.matrix.code_digest import TREE

ESTIMATE = TREE / "methods" / "feedforward" / "runners" / "estimate.py"
"""The script of the method `feedforward`, by its path: it is run elsewhere and imported nowhere."""


class Recipe(NamedTuple):
    """What a person pastes. `run` answers EXPORT with ANSWER."""

    title: str
    install: str  # in an environment of its own
    licence: str
    run: str
    note: str = ""


def _estimated(name: str) -> str:
    return f"python {shlex.quote(str(ESTIMATE))} {name} EXPORT ANSWER"


RECIPES = {
    "vggt": Recipe(
        "VGGT", "git clone https://github.com/facebookresearch/vggt && pip install -e vggt",
        "weights: non-commercial (facebook/VGGT-1B-Commercial is another)", _estimated("vggt"),
    ),
    "da3": Recipe(
        "Depth Anything 3", "pip install depth-anything-3        # numpy < 2, xformers",
        "weights: BASE and SMALL Apache-2.0, larger ones CC-BY-NC", _estimated("da3"),
    ),
    "mapanything": Recipe(
        "MapAnything", "git clone https://github.com/facebookresearch/map-anything && pip install -e map-anything",
        "weights: facebook/map-anything-apache Apache-2.0, facebook/map-anything CC-BY-NC", _estimated("mapanything"),
    ),
    "pi3": Recipe(
        "Pi3", "git clone https://github.com/yyfz/Pi3 && pip install -r Pi3/requirements.txt  # and run from there",
        "weights: CC-BY-NC", _estimated("pi3"),
    ),
    "mast3r": Recipe(
        "MASt3R-SfM", "git clone --recursive https://github.com/naver/mast3r           # and run from there",
        "code and weights: CC-BY-NC-SA", _estimated("mast3r"),
    ),
    "hloc": Recipe(
        "hloc", "git clone --recursive https://github.com/cvg/Hierarchical-Localization && pip install -e "
        "Hierarchical-Localization", "SuperPoint and SuperGlue: non-commercial; ALIKED, DISK, LightGlue: free",
        'python -c "from pathlib import Path; from hloc import extract_features as f, match_features as m, '
        "pairs_from_exhaustive as p, reconstruction as r; i, o = Path('EXPORT/images'), Path('ANSWER'); "
        "a, b = f.confs['aliked-n16'], m.confs['aliked+lightglue']; x = f.main(a, i, o); "
        "p.main(o / 'pairs.txt', features=x); y = m.main(b, o / 'pairs.txt', a['output'], o); "
        "r.main(o, i, o / 'pairs.txt', x, y)\"",
        "ANSWER is a folder with a COLMAP model.",
    ),
    "glomap": Recipe(
        "GLOMAP", "apt-get install colmap               # 3.13 or later has `colmap global_mapper`",
        "BSD-3", "mkdir -p ANSWER && colmap feature_extractor --database_path ANSWER/d.db --image_path EXPORT/images "
        "--ImageReader.single_camera 1 && colmap exhaustive_matcher --database_path ANSWER/d.db && "
        "colmap global_mapper --database_path ANSWER/d.db --image_path EXPORT/images --output_path ANSWER",
        "ANSWER is a folder with a COLMAP model in ANSWER/0; `colmap_nerf[mapper=global]` does the same from within.",
    ),
}  # fmt: skip


def recipe(name: str, *, scene: str, degradation: str, effort: str) -> str:
    """Three commands, ready to paste: export, run, submit. Raises ValueError for one that is not known."""
    from bench.matrix.names import nearest

    if name not in RECIPES:
        raise ValueError(f"--recipe {name}: there is none{nearest(name, RECIPES)}")
    known, stem = RECIPES[name], f"{Path(scene).name}-{name}"
    is_folder = bool(known.note)
    answer = f"{stem}/answer" if is_folder else f"{stem}/answer/transforms.json"
    of = f"{shlex.quote(scene)}{'' if degradation == 'clean' else f' -d {degradation}'} --effort {effort}"
    export, answer = shlex.quote(f"{stem}/export"), shlex.quote(answer)
    model = f"{answer}/0" if name == "glomap" else answer
    lines = [
        f"# {known.title}. {known.licence}.",
        f"# In an environment of its own: {known.install}",
        *([f"# {known.note}"] if known.note else []),
        f"unposed data export {of} --to {export}",
        known.run.replace("EXPORT", export).replace("ANSWER", answer),
        f"unposed submit -s {of} --name {name} --train {model}",
    ]
    return "\n".join(lines)
