"""What the networks' packages import and need little of: stand-ins, so that those need not be there, or fit this torch.

Of torchvision ALIKED takes two convolutions' names and one operator, `deform_conv2d`, which exists only where
torchvision was built for the very torch that is installed; the one here is plain torch. OpenCV is imported for
reading images, which is done elsewhere, and pycolmap for SIFT: with both in one process it has crashed.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional


def deform_conv2d(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None, *,
    padding: tuple[int, int] | int = 0, mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Deformable convolution (Dai et al. 2017) of stride 1, with one group of offsets: the image (N, C, H, W) is read
    at each tap's place plus `offset` (N, 2 K, H', W'), in pixels, y before x, bilinearly and 0 outside; `weight` is
    (O, C, kh, kw) with K = kh kw taps, row by row; `mask` (N, K, H', W') scales what each tap reads."""
    batch, channels, height, width = input.shape
    out, _, kh, kw = weight.shape
    above, left = (padding, padding) if isinstance(padding, int) else padding
    rows, columns = height + 2 * above - kh + 1, width + 2 * left - kw + 1
    shift = offset.view(batch, kh * kw, 2, rows, columns)
    y = shift[:, :, 0] + torch.arange(rows).view(-1, 1) - above + torch.arange(kh).repeat_interleave(kw).view(-1, 1, 1)
    x = shift[:, :, 1] + torch.arange(columns) - left + torch.arange(kw).repeat(kh).view(-1, 1, 1)
    places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    read = functional.grid_sample(input, places.view(batch, -1, columns, 2), mode="bilinear", align_corners=False)
    read = read.view(batch, channels, kh * kw, rows, columns)
    if mask is not None:
        read = read * mask.view(batch, 1, kh * kw, rows, columns)
    summed = functional.conv2d(read.flatten(1, 2), weight.reshape(out, channels * kh * kw, 1, 1))
    return summed if bias is None else summed + bias.view(1, -1, 1, 1)


def install() -> None:
    """Put the stand-ins where `import` finds them: for a process that has nothing else to do."""
    sys.modules["pycolmap"] = None  # type: ignore[assignment]  # importing it fails, which is asked for and handled
    _module("cv2", Feature2D=object)
    resnet = _module("torchvision.models.resnet", conv1x1=_conv1x1, conv3x3=_conv3x3)
    models = _module("torchvision.models", resnet=resnet, __path__=[])
    _module("torchvision", models=models, ops=_module("torchvision.ops", deform_conv2d=deform_conv2d), __path__=[])


def _module(name: str, **content: object) -> ModuleType:
    sys.modules[name] = module = ModuleType(name)
    vars(module).update(content)
    return module


def _conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)


def _conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
