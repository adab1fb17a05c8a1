"""How poses of well-known estimators come in: export, estimate in their own environment, submit."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from bench.matrix.code_digest import TREE

FEEDFORWARD = TREE / "methods" / "feedforward"
ESTIMATE = FEEDFORWARD / "runners" / "estimate.py"
"""The script of the method `feedforward`, by its path: it is run elsewhere and imported nowhere."""

KNOWN: dict[str, Any] = runpy.run_path(str(FEEDFORWARD / "estimators.py"))["ESTIMATORS"]
"""What that method says of each estimator."""


class Recipe(NamedTuple):
    """What a person pastes. `run` answers EXPORT with ANSWER."""

    title: str
    install: str  # in an environment of its own
    licence: str
    run: str
    note: str = ""


def _estimated(name: str) -> Recipe:
    known = KNOWN[name]
    where = f'PYTHONPATH="$PWD/{known.clone}" ' if known.clone else ""
    run = f"{where}python {shlex.quote(str(ESTIMATE))} {name} EXPORT ANSWER"
    return Recipe(known.title, known.install, f"weights: {known.licence}", run)


RECIPES = {
    **{name: _estimated(name) for name in KNOWN},
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
