"""Poses to and from other programs: the forms they come in, handed out, submitted, exported.

Here alone are the axes and directions of other programs converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.poses_io import colmap, transforms, tum
from bench.poses_io.pose_format import Form, Reading

__all__ = ["FORMS", "Form", "Reading", "read", "recognise"]

FORMS: Mapping[str, Form] = MappingProxyType({form.name: form for form in (transforms.FORM, colmap.FORM, tum.FORM)})
"""Asked in this order."""


def recognise(path: Path) -> Form:
    """The form of a file or folder. Raises ValueError with every form's reason where it has none."""
    if not path.exists():
        raise ValueError(f"{path}: there is no such file or folder")
    objections = {form.name: form.objection(path) for form in FORMS.values()}
    for name, objection in objections.items():
        if objection is None:
            return FORMS[name]
    reasons = "; ".join(f"{name}: {objection}" for name, objection in objections.items())
    raise ValueError(f"{path}: not a pose estimate that can be read ({reasons})")


def read(path: Path) -> Reading:
    """The estimate in a file or folder of any form. Raises ValueError."""
    return recognise(path).read(path)
