"""posefree/2: how every number is defined. Each number in a report carries this id; change a rule, change the id.

Poses are `world_from_camera` in OpenCV axes; E is the method's frame, T the truth's. Lengths are in scene units (of T)
unless a name says otherwise. Views are matched by id; a view without a usable pose is *unregistered*, and stays in
every denominator.

1. **Alignment** (`align`). One similarity E -> T over the centres of the registered training views. Its scale is never
   bounded: a unit is free. Its *normalised scale*, which is 1 for exact poses in any unit, tells an answer from noise
   around a point, which is `collapsed`. On forward-facing rigs, judged by the true cameras, the frame's rotation is
   that of the cameras' own rotations, and the row says by how much the centres would have turned it. A robust alignment
   stands beside it (`consensus`).
2. **Poses of the training views** (`poses`): `pose/*` and `camera/*`. Where the method was given true poses of some
   views, the others are judged, in the frame of the given ones.
3. **Held-out views** (`views`): the true held-out cameras, mapped into E, rendered in four stages that never share a
   column. `nvs/aligned`: as they are. `nvs/refined`: each pose first moved by `refine` on its own image, the field
   frozen; optimistic, for it sees the image. `nvs/half`: the same, fitted on the left half of the image and scored on
   the right. `nvs/registered`: from where the method's own registration says, which is told the image alone.
4. **The truth stays clean.** A degradation spoils what a method is shown. Held-out targets are clean, unless the
   degradation changes what the scene is (silhouettes: masks, scored by `iou` and `psnr`).
5. **The mean-colour level** (`nvs/mean_colour/psnr`): what one colour scores, that of the scene's clean training images
   (masks for silhouettes). It is one number a scene and effort, whatever was shown and however the cell ended, so that
   a failure is charged alike everywhere.
6. **Status.** `done`: there are poses. A render that fails costs the `nvs` columns, which are absent with the reason,
   and not the poses. `collapsed`: the poses say nothing. Flags stand beside the numbers that they concern.
7. **Success**: done, and `pose/rotation_deg_median` below 5 degrees.
8. **Without a truth** (`own_frame`), where nobody knows the cameras: no pose columns, no `nvs/aligned`. Each held-out
   view starts from the estimated cameras of the views taken beside it and of those that look most like it, from
   whichever shows its left half best; is moved by `refine` on that half, at ten times the rate; and is then refined as
   in 3. Such rows have tables of their own.

The judge holds the truth and never the field; a worker holds the field and never the truth. Between them go the
held-out cameras in the method's own frame, for the refined stages the held-out images, and renders:

    judged = judge_poses(fit.poses, truth, fit.camera)                 # raises Collapsed
    request = plan_heldout(judged.alignment, truth), render_camera(camera, truth), refinement(judged.alignment)
    views = judge_views({"aligned": ..., "refined": ..., "half": ...}, truth, alignment=judged.alignment, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from bench.judge.align import Alignment, Rules
from bench.judge.metrics import MSE_FLOOR
from bench.matrix.code_digest import file_digest
from bench.scene import Truth
from bench.task import Camera, Pose

ID = "posefree/2"

Stage = Literal["aligned", "refined", "half", "registered"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""Rendered at the aligned pose; after refinement on the whole image; after refinement on its left half; from where the
method's own registration, which is told the image and nothing else, says that it was taken."""

Columns = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Constants:
    """All that the protocol fixes: part of the judgement fingerprint (`asdict`)."""

    alignment: Rules = field(default_factory=Rules)
    unregistered_deg: float = 180.0
    auc_deg: tuple[int, ...] = (5, 15, 30)
    refine_steps: int = 100
    refine_rate: float = 1e-3  # Adam, at the first step; falls to 0 over the last fifth
    refine_rays: int = 256  # a view and step; four times as many gain 0.04 dB on fields of 30 dB
    refine_seed: int = 0
    search_steps: int = 200  # without a truth: `refine` from the views beside it, ...
    search_rate: float = 1e-2  # ... whose cameras are a few degrees away
    constant_std: float = 1 / 255  # standard deviation below which a render is one colour
    mse_floor: float = MSE_FLOOR
    ssim: str = "skimage, 11x11 gaussian, sigma 1.5, data_range 1"
    lpips: str = "lpips 0.1, alex, inputs in [-1, 1]"


CONSTANTS = Constants()


def constants() -> dict[str, Any]:
    """All that decides a judgement but the truth and the LPIPS weights, for its fingerprint: rules, and the code."""
    return {"protocol": ID} | asdict(CONSTANTS) | {"code": code()}


@cache
def code() -> dict[str, str]:
    """Digests of the judge's modules and of the geometry that refinement shares, comments and docstrings stripped."""
    room = Path(__file__).parent
    runner = room.parent / "runner"
    files = [
        *sorted(room.glob("*.py")),
        runner / "evaluate.py",
        runner / "render_client.py",
        room.parent / "geometry_torch.py",
        room.parent / "poses_io" / "saved_fit.py",
    ]
    files += [runner / "worker" / "fields.py"]  # which half of an image a stage sees
    return {path.relative_to(room.parent).as_posix(): file_digest(path) for path in files}


def plan_heldout(alignment: Alignment, truth: Truth) -> Pose:
    """The true held-out cameras in the method's frame E, (N, 4, 4): all that a field is ever told of them."""
    return alignment.similarity.inverse().apply(truth.heldout.poses)


def render_camera(camera: Camera | None, truth: Truth) -> Camera:
    """The intrinsics to render with, at the held-out images' size: the fit's own where it returned some, or those that
    it was given; the true ones where it had none.

    A field trained with a wrong focal length shows its own scene rightly only through that focal length.
    """
    return truth.camera if camera is None else camera.resized(truth.camera.width, truth.camera.height)


def refinement(alignment: Alignment) -> dict[str, Any]:
    """Keyword arguments of `refine.refine`, as JSON: the steps of the protocol in the units of this frame E."""
    return {
        "steps": CONSTANTS.refine_steps,
        "rate": CONSTANTS.refine_rate,
        "rays": CONSTANTS.refine_rays,
        "seed": CONSTANTS.refine_seed,
        "unit": alignment.radius / alignment.similarity.scale,
    }


def search(alignment: Alignment) -> dict[str, Any]:
    """The same, of the search for a view whose camera nobody knows."""
    return refinement(alignment) | {"steps": CONSTANTS.search_steps, "rate": CONSTANTS.search_rate}
