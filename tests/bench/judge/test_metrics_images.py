"""Image metrics against their definitions."""

import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio

from bench.judge import metrics


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    targets = rng.random((3, 24, 31, 3))
    return np.clip(targets + 0.1 * rng.normal(size=targets.shape), 0, 1), targets


def test_psnr_is_that_of_skimage(pair):
    images, targets = pair
    theirs = [peak_signal_noise_ratio(t, i, data_range=1.0) for i, t in zip(images, targets, strict=True)]
    np.testing.assert_allclose(metrics.psnr(images, targets), theirs, rtol=1e-12)


def test_psnr_of_half_a_grey_is_six_decibels():
    assert metrics.psnr(np.full((1, 4, 4, 3), 0.5), np.zeros((1, 4, 4, 3)))[0] == pytest.approx(20 * np.log10(2))


def test_an_exact_image_has_a_finite_psnr(pair):
    np.testing.assert_array_equal(metrics.psnr(pair[1], pair[1]), 100.0)


def test_ssim_is_the_formula_of_wang_et_al(pair):
    """Written out: 11x11 gaussian window of sigma 1.5, K1 0.01, K2 0.03, the mean over whole windows and channels."""
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def blur(image):
        return correlate1d(correlate1d(image, kernel, axis=0), kernel, axis=1)[5:-5, 5:-5]

    for value, x, y in zip(metrics.ssim(*pair), *pair, strict=True):
        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        s = (2 * mx * my + 0.01**2) * (2 * vxy + 0.03**2) / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))
        assert value == pytest.approx(s.mean(), abs=1e-9)


def test_iou_counts_pixels_and_two_empty_masks_agree():
    mask, target = np.zeros((3, 4, 4, 1)), np.zeros((3, 4, 4, 1))
    mask[0, :2], target[0, 1:3] = 1.0, 1.0  # 4 of 12 pixels in common
    target[1, 0, 0] = 0.9
    np.testing.assert_allclose(metrics.iou(mask, target), [1 / 3, 0.0, 1.0])
