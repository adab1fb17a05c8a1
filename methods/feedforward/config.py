"""Every choice of this method, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from methods.nerf.config import PosedFieldConfig

Model = Literal["vggt", "mapanything", "pi3x", "pi3", "da3", "mast3r"]


class FeedforwardConfig(PosedFieldConfig):
    """The estimator, and the choices of the shared field."""

    model: Model = "vggt"
    python: str = ""  # the interpreter of the environment in which the estimator is installed
    weights: str = ""  # instead of the model's usual ones: a name on Hugging Face, or a folder
    intrinsics: Literal["given", "estimated"] = "given"  # given: the scene's; the estimator is not told them
