"""gsplat as it is called, and the reference held to its own code in torch, where it is installed; and what is said
where it or its kernels are not there."""

import importlib
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from test_nerf_gaussians import CAMERA, POSE, UP, some_splats

from bench.task import look_at
from methods.nerf.field.gaussians import CONSTANT
from methods.nerf.gaussians import gsplat_cuda, torch_reference
from methods.nerf.gaussians.rasterise import rasterise
from methods.nerf.gaussians.splats import inverse
from methods.nerf.rendering.encoding import harmonics

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_reference_projects_as_gsplat_does():
    own = pytest.importorskip("gsplat.cuda._torch_impl", reason="needs gsplat: pip install 'unposed[gsplat]'")
    splats, colours = some_splats(200, dtype=torch.float32)
    splats = splats._replace(means=2.5 * splats.means)  # some beside the image, some behind the camera
    pose = torch.from_numpy(POSE).float()
    covariances, _ = own._quat_scale_to_covar_preci(splats.rotations, splats.scales, compute_preci=False)
    radii, means, depths, conics, _ = own._fully_fused_projection(
        splats.means, covariances, inverse(pose), torch.tensor(CAMERA.matrix).float()[None], CAMERA.width,
        CAMERA.height,
    )  # fmt: skip
    kept = (radii[0] > 0).all(dim=-1)
    seen = torch_reference.projected(splats, colours[0], pose[0], CAMERA)
    assert 50 < len(seen.means) <= int(kept.sum()) < 200  # it rounds its reach up to whole pixels
    places = (depths[0, :, None] - seen.depths).abs().argmin(dim=0)
    assert kept[places].all()
    for ours, theirs in ((seen.means, means), (seen.depths, depths), (seen.conics, conics)):
        torch.testing.assert_close(ours, theirs[0, places], rtol=1e-3, atol=1e-4)


def test_gsplat_is_called_as_its_own_code_wants_it(monkeypatch):
    """Its own function, from its checks of shapes to expected depths; instead of kernels, its code in torch and our
    blending."""
    own = pytest.importorskip("gsplat.cuda._torch_impl", reason="needs gsplat: pip install 'unposed[gsplat]'")
    rendering = importlib.import_module("gsplat.rendering")
    kernels = ModuleType("gsplat.cuda._backend")  # the real one compiles for minutes where there is a compiler
    kernels._C = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kernels.__name__, kernels)

    def fully_fused_projection(means, covars, quats, scales, viewmats, Ks, width, height, **given):
        assert covars is None and not given["packed"]
        covariances, _ = own._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
        rest = given["eps2d"], given["near_plane"], given["far_plane"]
        return own._fully_fused_projection(means, covariances, viewmats, Ks, width, height, *rest)

    def rasterize_to_pixels(means, conics, colors, opacities, width, height, *_, backgrounds, **__):
        assert backgrounds is None and all(value.dtype == torch.float32 for value in (means, conics, colors, opacities))
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        points, drawn = torch.stack([x, y], dim=-1).reshape(-1, 2), []
        for view in range(len(means)):
            order = colors[view, :, -1].argsort()  # the last channel is the depth
            order = order[colors[view, order, -1] > 0.01]
            parts = (means, conics, colors[..., -1], opacities, colors, torch.zeros_like(means))
            seen = torch_reference.Projected(*(part[view, order] for part in parts))
            colour, _, opacity = torch_reference._blended(seen, points)
            drawn.append(torch.cat([colour, opacity[:, None]], dim=1).reshape(height, width, -1))
        whole = torch.stack(drawn)
        return whole[..., :-1], whole[..., -1:]

    monkeypatch.setattr(rendering, "fully_fused_projection", fully_fused_projection)
    monkeypatch.setattr(rendering, "rasterize_to_pixels", rasterize_to_pixels)
    monkeypatch.setattr(rendering, "isect_tiles", lambda *_, **__: (None, None, None))
    monkeypatch.setattr(rendering, "isect_offset_encode", lambda ids, n, wide, high: torch.zeros(n * wide * high))
    splats, colours = some_splats(80, dtype=torch.float32)
    poses = np.concatenate([POSE, look_at(np.array([[0.0, 3.5, 1.0]]), np.zeros(3), UP)])
    poses = torch.from_numpy(poses).float().requires_grad_()
    pixels = torch.arange(3, 1200, 7).expand(2, -1)
    for channels in (3, 1):
        shades = colours[..., :channels].expand(2, -1, -1)
        for chosen in (None, pixels):
            theirs = gsplat_cuda.rasterise(splats, shades, poses, CAMERA, chosen)
            ours = rasterise(splats, shades, poses, CAMERA, chosen, backend="torch")
            for found, true in zip(theirs, ours, strict=True):
                torch.testing.assert_close(found, true, rtol=1e-3, atol=1e-4)
            (gradient,) = torch.autograd.grad(theirs.colour.square().sum(), poses)
            (expected,) = torch.autograd.grad(ours.colour.square().sum(), poses)
            torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=1e-2)


def test_without_gsplat_cuda_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    splats, colours = some_splats(3, dtype=torch.float32)
    with pytest.raises(ImportError, match=r"Gaussians on CUDA need gsplat: pip install 'unposed\[gsplat\]'"):
        gsplat_cuda.rasterise(splats, colours, torch.from_numpy(POSE).float(), CAMERA, None)


def test_harmonics_are_those_that_gsplat_has_but_for_their_signs_and_the_first():
    own = pytest.importorskip("gsplat.cuda._torch_impl", reason="needs gsplat: pip install 'unposed[gsplat]'")
    rng = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=rng), dim=-1)
    theirs = own._eval_sh_bases_fast(16, directions)
    torch.testing.assert_close((CONSTANT * harmonics(directions, 3)).abs(), theirs.abs(), rtol=1e-4, atol=1e-5)


def a_gsplat(monkeypatch, kernels: object) -> None:
    """A package with `kernels`, or whose kernels fail with them."""

    class Backend(ModuleType):
        @property
        def _C(self):  # noqa: N802 - the name that gsplat gives it
            if isinstance(kernels, Exception):
                raise kernels
            return kernels

    for name, module in {"gsplat": ModuleType("gsplat"), "gsplat.cuda._backend": Backend("_backend")}.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("kernels", "why"),
    [
        (None, "it found no CUDA toolkit"),
        (
            RuntimeError("Ninja is required to load C++ extensions\nand more"),
            "Ninja is required to load C++ extensions",
        ),
        (RuntimeError(f"Error building extension {'nvcc -O3 ' * 99}"), "Error building extension nvcc"),
        (FileNotFoundError(2, "No such file or directory", "build"), "No such file or directory: 'build'"),
        (subprocess.CalledProcessError(1, ["nvcc"]), "returned non-zero exit status 1"),
        (ImportError("undefined symbol"), "undefined symbol"),
    ],
)
def test_kernels_that_are_not_there_are_said_in_a_sentence_with_what_to_try(kernels, why, monkeypatch):
    a_gsplat(monkeypatch, kernels)
    splats, colours = some_splats(3, dtype=torch.float32)
    with pytest.raises(RuntimeError, match="gsplat's kernels could not be compiled or loaded") as refused:
        gsplat_cuda.rasterise(splats, colours, torch.from_numpy(POSE).float(), CAMERA, None)
    said = str(refused.value)
    assert why in said and said.endswith(gsplat_cuda.WARM_UP) and "\n" not in said and len(said) < 400


def test_with_kernels_the_package_is_what_is_called(monkeypatch):
    a_gsplat(monkeypatch, object())
    assert gsplat_cuda._gsplat() is sys.modules["gsplat"]
