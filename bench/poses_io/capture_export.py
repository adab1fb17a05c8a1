"""What a pose estimator outside of the suite needs: the images as methods are shown them, and no truth."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image as Picture

from bench.degrade import degrade, parse
from bench.matrix.registry import UnknownName, find_scene
from bench.matrix.restated import read_as
from bench.poses_io import FORMS
from bench.poses_io.pose_format import IMAGES
from bench.record import write_json
from bench.regime import parse_regime
from bench.submission import HANDED_OUT
from bench.task import Capture

README = """\
{title}

{images}/v000.png ...  {count} images of {width}x{height} px, one camera, in no order that means anything.
{capture}  the camera (pixels, centres at +0.5){prior}.

Find the pose of each image with whatever you like, then bring the answer back:

    {command} FILE_OR_FOLDER

FILE_OR_FOLDER is one of

{forms}

Images keep their names; in TUM text the timestamp is the number in the name, 12 for v012.png. Frame and scale are
free: the protocol aligns them. A view may be missing, and counts as not registered. Intrinsics of your own, where the
file has some, are judged too. `--train` trains the suite's radiance field on your poses, for a full row; renders of
your own come back with `--renders`, made at the cameras that `unposed submit` writes down in your frame.
"""


def hand_out(
    scene: str, to: Path, *, degradation: str, effort: str, roots: Sequence[Path], seed: int = 0
) -> Capture:  # fmt: skip
    """Write `images/`, `capture.json` and `README.txt` into the folder `to`, whole or not at all.

    It is the capture of the cells of this `seed`, whose draw of the degradation it has. Returns what was handed out.
    Raises ValueError where the scene is not here, or the folder holds something.
    """
    to = to.resolve()
    refuse_full(to)
    source, spoilt = find_scene(scene, roots), parse(degradation).at(seed)
    if source.missing:
        raise UnknownName(f"scene {source.name!r} is not here: {source.missing}")
    regime = parse_regime(effort)
    loaded = read_as(source, regime).load(regime.pixels)
    capture = degrade(loaded.capture, spoilt, loaded.name).only(HANDED_OUT)
    draft = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    write_images(draft, capture)
    write_json(draft / "capture.json", {
        "scene": source.name, "degradation": spoilt.label, "draw": spoilt.seed, "effort": effort,
        "views": list(capture.images),
        "camera": asdict(capture.camera) if capture.camera else None,
        "prior": asdict(capture.prior) if capture.prior else None,
        "background": capture.background,
    })  # fmt: skip
    degraded = "" if spoilt.is_identity else f" -d {shlex.quote(spoilt.label)}"
    degraded += f" --seeds {seed}" if seed else ""
    height, width = capture.shape[:2]
    (draft / "README.txt").write_text(README.format(
        title=f"{source.name}, {spoilt.label}, {effort}: what every method of Unposed is shown.",
        images=IMAGES, count=len(capture.images), width=width, height=height, capture="capture.json",
        prior=", and the family of viewpoints that the photographs come from" if capture.prior else "",
        command=f"unposed submit -s {shlex.quote(scene)}{degraded} --effort {effort} --name NAME",
        forms="\n".join(f"    {form.name:<11} {form.summary}" for form in FORMS.values()),
    ))  # fmt: skip
    put_in_place(draft, to)
    return capture


def refuse_full(to: Path) -> None:
    """Nothing is overwritten. Raises ValueError."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"--to {to}: the folder exists and is not empty; name another one")


def put_in_place(draft: Path, to: Path) -> None:
    """A finished folder takes the place of none, or of an empty one."""
    if to.is_dir():
        to.rmdir()
    draft.replace(to)


def write_images(folder: Path, capture: Capture) -> None:
    """`images/v000.png`, ... in `folder`."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for view, image in capture.images.items():
        Picture.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(folder / IMAGES / f"{view}.png")
