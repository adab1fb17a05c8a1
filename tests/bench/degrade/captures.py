"""Captures of any size to spoil, and truths that go with them."""

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.scene import HeldOut, Truth
from bench.task import Camera, Capture, PosePrior, ViewId

PRIOR = PosePrior(elevation_by="area", elevation=(10.0, 60.0), radius=(3.5, 4.0), near=2.0, far=6.0)


def make_capture(
    height: int = 40, width: int = 32, *, views: int = 3, channels: int = 3, seed: int = 0, plain: bool = True
) -> Capture:
    """A speckled disc on white, or speckles all over; with everything that a capture can hold."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] + 0.5
    distance = 0.35 * min(height, width) - np.hypot(y - height / 2, x - width / 2)
    cover = np.clip(distance + 0.5, 0, 1) if plain else np.ones((height, width))
    speckles = gaussian_filter(rng.random((views, height, width, channels)), (0, 1, 1, 0)) * 3 % 1
    images = (255 * (speckles * cover[..., None] + (1 - cover[..., None])) + 0.5).astype(np.uint8)
    mask = (cover * 255 + 0.5).astype(np.uint8)
    ids = [ViewId(f"v{k:03d}") for k in range(views)]
    return Capture(
        exact=frozenset(ids),
        images=dict(zip(ids, images, strict=True)),
        masks={view: mask.copy() for view in ids},
        camera=Camera(width=width, height=height, fx=width, fy=width, cx=width / 2, cy=height / 2),
        prior=PRIOR,
        start=dict(zip(ids, PRIOR.sample(rng, views), strict=True)),
        background=(1.0, 1.0, 1.0) if plain else None,
    )


def make_truth(capture: Capture, *, masks: bool = True) -> Truth:
    images = np.stack(list(capture.images.values()))
    shown = np.stack(list((capture.masks or {}).values()))
    return Truth(
        poses={view: np.eye(4) for view in capture.images},
        camera=Camera(width=images.shape[2], height=images.shape[1], fx=50, fy=50, cx=16, cy=20),
        heldout=HeldOut(
            ids=tuple(ViewId(f"h{k:03d}") for k in range(len(images))),
            poses=np.tile(np.eye(4), (len(images), 1, 1)),
            images=images,
            masks=shown if masks else None,
        ),
        reference="exact",
        order=tuple(capture.images),
    )
