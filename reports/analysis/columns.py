"""The columns of a result: what each is called on the page, its unit, which way is better, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["low", "high"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """`name` is the protocol's; `label` and `unit` head a table; `meaning` is for the page of definitions."""

    name: str
    label: str
    group: str
    meaning: str
    unit: str = ""
    better: Better | None = None
    digits: int = 3

    @property
    def heading(self) -> str:
        """`rotation (deg)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def arrow(self) -> str:
        return {"low": "↓", "high": "↑", None: ""}[self.better]

    def show(self, value: float) -> str:
        """The value as a table prints it; what is not a number says so."""
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        if self.unit == "%":
            value = 100 * value
        return f"{value:.{self.digits}f}".replace("-", "−")

    def signed(self, value: float) -> str:
        """Of a difference: a gain says `+`."""
        return ("+" if value > 0 else "") + self.show(value)

    def said(self, value: float) -> str:
        """`31.20 dB`, `0.830 IoU`: a value by itself, in a sentence."""
        return f"{self.show(value)} {self.unit or self.label}"


CAMERAS, COST = "Cameras (training views)", "Cost"
SAYS = "What the method says of its own poses"
STAGES = {
    "aligned": (
        "Held-out views, aligned",
        "rendered at the true held-out cameras, mapped into the method's frame by the alignment alone",
    ),
    "refined": (
        "Held-out views, refined",
        "after each held-out pose was optimised on its own image with the field frozen: optimistic by design",
    ),
    "half": (
        "Held-out views, half",
        "as refined, but the pose is optimised on the left half of the pixels and scored on the right half",
    ),
    "registered": (
        "Held-out views, registered",
        "from the pose that the method itself found for the image, told nothing but its pixels; only where a method "
        "can do that",
    ),
}
CORRECTED = ("refined", "half", "registered")

_CAMERA_COLUMNS = (
    Column(
        name="pose/rotation_deg_median", label="rotation, median", unit="deg", better="low", digits=2, group=CAMERAS,
        meaning="Median over training views of the geodesic angle between true and aligned estimated rotation. "
        "An unregistered view counts 180.",
    ),
    Column(
        name="pose/rotation_deg_mean", label="rotation, mean", unit="deg", better="low", digits=2, group=CAMERAS,
        meaning="The mean of the same angles.",
    ),
    Column(
        name="pose/robust_rotation_deg_median", label="rotation, robust", unit="deg", better="low", digits=2,
        group=CAMERAS,
        meaning="The median angle under a consensus alignment, refitted on its inliers: a handful of flipped views "
        "does not hide that the others are right.",
    ),
    Column(
        name="pose/inliers_10deg", label="inliers", unit="%", better="high", digits=0, group=CAMERAS,
        meaning="Share of training views within 10 deg under the robust alignment.",
    ),
    Column(
        name="pose/translation_relative", label="translation", unit="radii", better="low", group=CAMERAS,
        meaning="Mean distance of aligned camera centres over the RMS radius of the true ones, registered views. "
        "About 1 means collapse.",
    ),
    Column(
        name="pose/translation_mean", label="translation, mean", unit="scene units", better="low", digits=4,
        group=CAMERAS, meaning="Mean distance of aligned camera centres, registered views.",
    ),
    Column(
        name="pose/ate_rmse", label="ATE", unit="scene units", better="low", digits=4, group=CAMERAS,
        meaning="Absolute trajectory error after Sim(3) alignment, root mean square.",
    ),
    Column(
        name="pose/rpe_rotation_deg", label="RPE rotation", unit="deg", better="low", digits=2, group=CAMERAS,
        meaning="Relative rotation error of consecutive views, in the order they were taken.",
    ),
    Column(
        name="pose/rpe_translation", label="RPE translation", unit="scene units", better="low", digits=4,
        group=CAMERAS, meaning="Relative translation error of consecutive views, in the order they were taken.",
    ),
    *(
        Column(
            name=f"pose/auc_{limit}", label=f"AUC@{limit}°", better="high", group=CAMERAS,
            meaning=f"Area under the recall curve, up to {limit} deg, of the larger of rotation angle and "
            "translation-direction angle over all pairs of training views. Needs no alignment; a pair with an "
            "unregistered view counts 180 deg.",
        )
        for limit in (5, 15, 30)
    ),
    Column(
        name="pose/registered", label="registered", unit="%", better="high", digits=0, group=CAMERAS,
        meaning="Share of training views for which the method returned a pose.",
    ),
    Column(
        name="pose/frame_tilt_deg", label="frame tilt", unit="deg", better="low", digits=2, group=CAMERAS,
        meaning="Angle between the frame that the camera centres tell and the one that the cameras' own rotations "
        "tell. On forward-facing rigs the rotations decide: there, a large tilt means centres that are off, and that "
        "an alignment by them would have turned every view by as much.",
    ),
    Column(
        name="pose/normalised_scale", label="normalised scale", digits=3, group=CAMERAS,
        meaning="Scale of the alignment with both sets of centres at unit RMS radius: 1 for exact poses in any unit, "
        "near 0 for noise around a point. Its square is the share of the true centres' variance that is explained.",
    ),
    Column(
        name="camera/focal_relative_error", label="focal error", unit="%", better="low", digits=2, group=CAMERAS,
        meaning="Relative error of the estimated focal length, where the method estimates one.",
    ),
)  # fmt: skip

_VIEW_COLUMNS = tuple(
    column
    for stage, (group, how) in STAGES.items()
    for column in (
        Column(
            name=f"nvs/{stage}/psnr", label="PSNR", unit="dB", better="high", digits=2, group=group,
            meaning=f"Peak signal-to-noise ratio of held-out views, {how}.",
        ),
        Column(
            name=f"nvs/{stage}/ssim", label="SSIM", better="high", group=group,
            meaning=f"Structural similarity (11x11 gaussian) of held-out views, {how}.",
        ),
        Column(
            name=f"nvs/{stage}/lpips_alex", label="LPIPS", better="low", group=group,
            meaning=f"Learned perceptual distance (AlexNet) of held-out views, {how}.",
        ),
        Column(
            name=f"nvs/{stage}/iou", label="IoU", better="high", group=group,
            meaning=f"Intersection over union of held-out silhouettes, {how}.",
        ),
        *(
            Column(
                name=f"nvs/{stage}/correction_{what}", label=f"off by, {label}", unit=unit, digits=3, group=group,
                meaning=f"Mean {distance} between the true held-out camera and the one rendered from.",
            )
            for what, label, unit, distance in (
                ("deg", "rotation", "deg", "angle"), ("units", "position", "scene units", "distance"),
            )
            if stage in CORRECTED
        ),
    )
)  # fmt: skip

_OTHER_COLUMNS = (
    Column(
        name="pose/rotation_deg", label="rotation", unit="deg", better="low", digits=2, group="Training views",
        meaning="The geodesic angle between true and aligned estimated rotation of one training view; 180 where it is "
        "unregistered.",
    ),
    Column(
        name="pose/translation", label="translation", unit="scene units", better="low", group="Training views",
        meaning="The distance between the true and the aligned estimated centre of one registered training view.",
    ),
    Column(
        name="pose/robust_rotation_deg", label="rotation, robust", unit="deg", better="low", digits=2,
        group="Training views", meaning="The same angle of one registered view under the consensus alignment.",
    ),
    Column(
        name="confidence/margin_db_median", label="margin, median", unit="dB", digits=2, group=SAYS,
        meaning="The method's own word, and no judgement: by how much a view's pose explains its image better than the "
        "best pose that the method found and that is turned by more than 20 deg, in the squared error; the "
        "median over training views.",
    ),
    Column(
        name="confidence/doubtful", label="doubtful", unit="%", digits=0, group=SAYS,
        meaning="Share of the views with such a margin whose margin is below 3 dB: another pose explains the image "
        "half as well, or better. The method's own word.",
    ),
    Column(
        name="confidence/margin_db", label="margin", unit="dB", better="high", digits=2, group=SAYS,
        meaning="The margin of one training view, as the method states it.",
    ),
    Column(
        name="nvs/mean_colour/psnr", label="mean-colour PSNR", unit="dB", digits=2, group="Reference level",
        meaning="PSNR of an image of one colour, the mean of the clean training views: the score of a field that has "
        "learnt nothing. A failed cell is charged this in the penalised columns.",
    ),
    Column(
        name="cost/fit_seconds", label="fit", unit="s", better="low", digits=0, group=COST,
        meaning="Wall time of the fit, restarts included.",
    ),
    Column(
        name="cost/field_seconds", label="field alone", unit="s", better="low", digits=0, group=COST,
        meaning="Wall time of training a field on poses that were submitted. What it took to find them is not known.",
    ),
    Column(
        name="cost/peak_rss_mb", label="peak memory", unit="MB", better="low", digits=0, group=COST,
        meaning="Peak resident memory of the fit's whole process tree.",
    ),
    Column(
        name="cost/peak_vram_mb", label="peak VRAM", unit="MB", better="low", digits=0, group=COST,
        meaning="Peak device memory of the fit's whole process tree.",
    ),
    Column(
        name="cost/threads", label="CPU threads", digits=0, group=COST,
        meaning="Threads that the fit may use.",
    ),
    Column(
        name="cost/judge_seconds", label="judging", unit="s", digits=0, group=COST,
        meaning="Wall time of the judgement: rendering, refining, scoring. Not the method's.",
    ),
)  # fmt: skip

SHORT = {STAGES[stage][0]: stage for stage in CORRECTED}
"""Headings of narrow groups, which stand right of the full one."""

COLUMNS = {column.name: column for column in (*_CAMERA_COLUMNS, *_VIEW_COLUMNS, *_OTHER_COLUMNS)}

HEADLINE = (
    "pose/rotation_deg_median", "pose/translation_relative", "pose/frame_tilt_deg", "pose/auc_15", "pose/registered",
    "nvs/aligned/iou", "nvs/aligned/psnr", "nvs/aligned/ssim", "nvs/aligned/lpips_alex",
    "nvs/refined/iou", "nvs/refined/psnr", "nvs/half/iou", "nvs/half/psnr",
    "nvs/registered/iou", "nvs/registered/psnr",
    "cost/fit_seconds", "cost/peak_rss_mb", "cost/peak_vram_mb",
)  # fmt: skip
"""What a leaderboard shows, where a result has it; everything else is in the cell's own section."""

CORE = frozenset(HEADLINE) - {
    "pose/translation_relative", "pose/auc_15", "nvs/aligned/ssim", "nvs/aligned/lpips_alex", "nvs/half/iou",
    "nvs/half/psnr", "cost/peak_rss_mb", "cost/peak_vram_mb",
}  # fmt: skip
"""What a page of 1400 px has room for; the others are one click away."""


def column(name: str) -> Column:
    """The column of a name; one that the protocol of this version does not know is shown under its own name."""
    return COLUMNS.get(name) or Column(
        name=name, label=name, group="Other", meaning="Not a column that this version of the report knows."
    )
