"""LPIPS (Zhang et al. 2018, version 0.1, AlexNet) without torchvision.

`import lpips` fails where torchvision was built for another torch than the one beside it, which is common next to a
CPU torch. The network is five convolutions and five 1x1 heads: written here, with the heads read from the lpips
wheel's own file and the backbone from a state dict, it gives the package's numbers to the last bit. torch is
imported at the first use: the judge's process does without it when there is no backbone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE_VARIABLE = "UNPOSED_LPIPS_BACKBONE"
MIN_SIDE = 31
"""Pixels below which AlexNet's last layers see nothing."""

# features.N of torchvision's AlexNet: stride, padding, and whether a 3x3 max-pool of stride 2 comes before.
_LAYERS = {0: (4, 2, False), 3: (1, 2, True), 6: (1, 1, True), 8: (1, 1, False), 10: (1, 1, False)}
_CHANNELS = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's statistics for inputs in [-1, 1]


def backbone_below(roots: Sequence[Path]) -> Path | None:
    """The AlexNet weights that lie in `lpips/` below a data root, or None."""
    return next((path for root in roots for path in sorted(root.glob("lpips/alexnet*.pth"))), None)


@dataclass(frozen=True, kw_only=True)
class Lpips:
    """A distance between images that agrees with people better than PSNR does; 0 for equal images."""

    provenance: Mapping[str, str]  # net, version, sha256 of the backbone and of the heads
    _weights: Mapping[str, Tensor]
    _heads: tuple[Tensor, ...]

    @classmethod
    def find(cls, backbone: Path | None = None) -> Lpips | str:
        """The metric, or in one sentence why it is absent and what to do.

        The backbone is AlexNet's ImageNet weights (torchvision's key names): `backbone`, else the file that
        UNPOSED_LPIPS_BACKBONE names, else alexnet-*.pth in torch hub's cache. Nothing is downloaded.
        """
        heads = _heads_file()
        if heads is None:
            return "the lpips package, which holds the metric's heads, is not installed: pip install lpips==0.1.4"
        path = _backbone(backbone)
        if path is None:
            return f"no AlexNet backbone: set {BACKBONE_VARIABLE} to torchvision's alexnet-owt-7be5be79.pth"
        if not path.is_file():
            return f"no AlexNet backbone at {path}: set {BACKBONE_VARIABLE} to torchvision's alexnet-owt-7be5be79.pth"
        try:
            weights, linear = dict(_load(path)), _load(heads)
        except Exception as error:  # noqa: BLE001 - torch.load raises whatever a broken file makes it raise
            return f"the AlexNet backbone {path} cannot be read ({type(error).__name__}): fetch it again"
        expected = {f"features.{n}.weight": shape for n, shape in _CHANNELS.items()}
        expected |= {f"features.{n}.bias": shape[:1] for n, shape in _CHANNELS.items()}
        held = {key: getattr(value, "shape", None) for key, value in weights.items()}
        if any(held.get(key) != shape for key, shape in expected.items()):
            return f"{path} is not torchvision's AlexNet: it must hold features.0.weight and so on, of its sizes"
        return cls(
            provenance={
                "net": "alex",
                "version": "0.1",
                "backbone_sha256": _sha256(path),
                "heads_sha256": _sha256(heads),
            },
            _weights={key: weights[key].float() for key in expected},
            _heads=tuple(linear[f"lin{n}.model.1.weight"].float() for n in range(len(_LAYERS))),
        )

    @staticmethod
    def identify(backbone: Path | None = None) -> str:
        """sha256 of the backbone that `find` would read, or "absent": for fingerprints, without loading torch."""
        path = _backbone(backbone)
        return _sha256(path) if path is not None and path.is_file() and _heads_file() else "absent"

    def __call__(self, images: NDArray[Any], targets: NDArray[Any], batch: int = 8) -> NDArray[np.float64]:
        """Distances (N,) of images (N, H, W, 3) in [0, 1]. Raises ValueError for images the network cannot see."""
        if images.shape != targets.shape or images.shape[-1] != 3 or min(images.shape[1:3]) < MIN_SIDE:
            raise ValueError(
                f"lpips: needs two equal stacks of colour images of at least {MIN_SIDE} px a side, "
                f"got {images.shape} and {targets.shape}"
            )
        import torch

        with torch.inference_mode():
            values = [
                self._distance(*(_tensor(stack[n : n + batch]) for stack in (images, targets)))
                for n in range(0, len(images), batch)
            ]
        return torch.cat(values).double().numpy() if values else np.empty(0)

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        """(B,) of (B, 3, H, W) in [-1, 1]: eq. 1 of the paper, summed in the package's order."""
        import torch
        from torch.nn.functional import conv2d

        total = torch.zeros(())
        for head, x, y in zip(self._heads, self._features(a), self._features(b), strict=True):
            total = total + conv2d((_unit(x) - _unit(y)) ** 2, head).mean([2, 3], keepdim=True)
        return total[:, 0, 0, 0]

    def _features(self, x: Tensor) -> list[Tensor]:
        from torch.nn.functional import conv2d, max_pool2d, relu

        x = (x - x.new_tensor(_SHIFT)[None, :, None, None]) / x.new_tensor(_SCALE)[None, :, None, None]
        outputs = []
        for n, (stride, padding, pooled) in _LAYERS.items():
            x = max_pool2d(x, 3, 2) if pooled else x
            weight, bias = self._weights[f"features.{n}.weight"], self._weights[f"features.{n}.bias"]
            x = relu(conv2d(x, weight, bias, stride, padding))
            outputs.append(x)
        return outputs


def _unit(features: Tensor) -> Tensor:
    """Features (B, C, H, W) scaled to unit length along C."""
    return features / ((features**2).sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _tensor(images: NDArray[Any]) -> Tensor:
    """(B, H, W, 3) in [0, 1] -> (B, 3, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).permute(0, 3, 1, 2) * 2 - 1


def _load(path: Path) -> dict[str, Tensor]:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _heads_file() -> Path | None:
    """The heads in the lpips wheel, found without importing it."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "weights" / "v0.1" / "alex.pth"
    return path if path.is_file() else None


def _backbone(named: Path | None) -> Path | None:
    variable = os.environ.get(BACKBONE_VARIABLE)
    return named or (Path(variable) if variable else None) or _cached()


def _cached() -> Path | None:
    """AlexNet in torch hub's cache: where torch.hub.get_dir() looks, without importing torch to ask it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser()
    return next(iter(sorted((home / "hub" / "checkpoints").glob("alexnet-*.pth"))), None)


def _sha256(path: Path) -> str:
    status = path.stat()
    return _hash(path, status.st_mtime_ns, status.st_size)


@cache
def _hash(path: Path, _changed: int, _size: int) -> str:
    """Once for each state of a file: every cell's fingerprint asks for it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
