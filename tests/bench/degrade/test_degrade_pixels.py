"""What single filters do to pixels, against another way of saying it."""

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from captures import make_capture, make_truth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from scipy import ndimage
from skimage.color import rgb2hsv

from bench.degrade import KINDS, Degradation, degrade, degrade_truth
from bench.degrade.smoothing import smooth
from bench.task import Capture, ViewId

V = ViewId("v000")


def of(image: np.ndarray, kind: str, severity: float, *, view: ViewId = V, **held) -> np.ndarray:
    """One image (H, W, C), spoilt."""
    capture = Capture(images={view: image}, **held)
    return degrade(capture, Degradation(kind=kind, severity=severity), "scene").images[view]


def grey(side: int = 200, level: int = 128) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def dot(side: int = 224) -> np.ndarray:
    """White in the middle, black elsewhere: its image is the kernel."""
    image = np.zeros((side + 1, side + 1, 3), np.uint8)
    image[side // 2, side // 2] = 255
    return image


def picture(height: int = 224, width: int = 240, seed: int = 3) -> np.ndarray:
    return make_capture(height, width, views=1, plain=False, seed=seed).images[V]


# 120,000 samples: a standard deviation of s is known to s / 490, a share of p to sqrt(p / 120,000)


def test_gaussian_noise_has_the_standard_deviation_it_says():
    noisy = of(grey(), "gaussian_noise", 2) / 255.0
    assert np.std(noisy) == pytest.approx(0.12, abs=0.001)
    assert np.mean(noisy) == pytest.approx(128 / 255, abs=0.002)


def test_shot_noise_has_the_variance_of_counted_photons():
    for level in (32, 96):
        counted = of(grey(level=level), "shot_noise", 1) / 255.0
        assert np.mean(counted) == pytest.approx(level / 255, abs=0.002)
        assert np.var(counted) == pytest.approx(level / 255 / 60, rel=0.03)  # 60 photons make white


def test_impulse_noise_spoils_the_share_it_says_and_half_of_it_is_black():
    noisy = of(grey(), "impulse_noise", 4)
    assert np.mean(noisy == 255) == pytest.approx(0.085, abs=0.003)
    assert np.mean(noisy == 0) == pytest.approx(0.085, abs=0.003)
    assert ((noisy == 128) | (noisy == 0) | (noisy == 255)).all()


def test_speckle_noise_is_in_proportion_to_brightness():
    stds = [np.std(of(grey(level=level), "speckle_noise", 2) / 255.0) for level in (40, 80)]
    assert stds[0] == pytest.approx(0.2 * 40 / 255, rel=0.02)
    assert stds[1] / stds[0] == pytest.approx(2, rel=0.02)


def test_gaussian_blur_is_the_one_of_scipy():
    image = picture()
    sigma = 3.0  # severity 3, on an image of 224 pixels
    theirs = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest")
    assert np.abs(of(image, "gaussian_blur", 3) - theirs).max() < 1


def test_defocus_is_a_disc_of_its_radius():
    kernel = of(dot(), "defocus_blur", 3)[..., 0]
    assert kernel[112, 112] == round(255 / (np.pi * 6**2))
    y, x = np.nonzero(kernel)
    assert np.hypot(y - 112, x - 112).max() <= 6.5
    assert (kernel[112, 107:118] == kernel[112, 112]).all()


@pytest.mark.parametrize("view", ["v000", "v001", "v002"])
def test_motion_blur_is_a_streak_through_the_pixel_that_it_starts_from(view):
    kernel = of(dot() // 255 * 255, "motion_blur", 5, view=ViewId(view))[..., 0].astype(float)
    y, x = np.nonzero(kernel)
    weights = kernel[y, x]
    assert np.average(y, weights=weights) == pytest.approx(112, abs=0.2)
    assert np.average(x, weights=weights) == pytest.approx(112, abs=0.2)
    spread = np.linalg.eigvalsh(np.cov(np.stack([y, x]), aweights=weights))
    assert spread[1] > 80 > 1 > spread[0]  # 20 to either side of it, and a pixel wide
    assert np.hypot(y - 112, x - 112).max() < 22


@pytest.mark.parametrize("kind", ["defocus_blur", "gaussian_blur", "motion_blur"])
def test_a_blur_leaves_one_colour_as_it_is(kind):
    assert (of(grey(64), kind, 5) == 128).all()


@pytest.mark.parametrize("kind", ["defocus_blur", "gaussian_blur", "motion_blur", "pixelate"])
def test_a_severity_takes_the_same_detail_from_images_of_any_size(kind):
    small = picture(224, 224)
    large = np.kron(small, np.ones((2, 2, 1), np.uint8))
    halved = of(large, kind, 5).reshape(224, 2, 224, 2, 3).mean(axis=(1, 3))
    expected = of(small, kind, 5).astype(float)
    assert np.abs(halved - expected).mean() < 0.05 * np.abs(small - expected).mean()


def test_brightness_raises_v_of_hsv_and_leaves_hue_and_saturation():
    image = picture() // 4 + 30  # no colour is cut off
    before, after = rgb2hsv(image), rgb2hsv(of(image, "brightness", 3))
    assert np.allclose(after[..., 2] - before[..., 2], 0.3, atol=0.003)
    assert np.abs(after[..., 1] - before[..., 1]).max() < 0.01
    turn = np.abs(after[..., 0] - before[..., 0])
    assert np.quantile(np.minimum(turn, 1 - turn), 0.99) < 0.02  # hue of near-greys is noise


def test_contrast_leaves_mid_grey_and_tells_where_the_background_went():
    image = np.array([[[0, 0, 0], [255, 255, 255], [127, 128, 64]]], np.uint8)
    capture = Capture(images={V: image}, background=(1.0, 0.5, 0.0))
    dull = degrade(capture, Degradation(kind="contrast", severity=3), "scene")
    assert dull.images[V].tolist() == [[[102] * 3, [153] * 3, [127, 128, 115]]]
    assert dull.background == pytest.approx((0.6, 0.5, 0.4))


def test_exposure_multiplies_linear_light_by_one_factor_in_each_channel():
    capture = make_capture(64, 64, views=30, plain=False)
    other = degrade(capture, Degradation(kind="exposure", severity=4), "scene").images

    def linear(image):
        x = image / 255
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)

    stops = []
    for view, image in capture.images.items():
        fair = (image > 60) & (other[view] > 60) & (other[view] < 255)
        ratio = np.log2(np.maximum(linear(other[view]), 1e-9) / np.maximum(linear(image), 1e-9))
        for channel in range(3):
            assert np.std(ratio[..., channel][fair[..., channel]]) < 0.03  # 8 bits
        stops.append([np.median(ratio[..., channel][fair[..., channel]]) for channel in range(3)])
    stops = np.array(stops)
    assert np.std(stops[:, 1]) == pytest.approx(0.75, rel=0.4)  # 30 views: known to 13 %, three times that
    assert np.std(stops[:, 0] - stops[:, 1]) == pytest.approx(0.2, rel=0.4)


def test_jpeg_is_what_pillow_writes():
    file, image = BytesIO(), picture()
    Picture.fromarray(image).save(file, format="jpeg", quality=15)
    assert np.array_equal(of(image, "jpeg", 3), np.asarray(Picture.open(file)))


def test_pixelate_leaves_blocks_of_their_mean_colour():
    image = picture(224, 224)
    blocks = image.reshape(56, 4, 56, 4, 3).mean(axis=(1, 3))
    enlarged = np.kron(blocks, np.ones((4, 4, 1)))
    assert np.abs(of(image, "pixelate", 5) - enlarged).max() <= 1  # Pillow rounds twice: rows, then columns


@pytest.mark.parametrize(("severity", "share"), [(1, 0.05), (2.5, 0.15), (5, 0.4)])
def test_patches_hide_the_share_of_the_object_that_they_say(severity, share):
    capture = make_capture(120, 90, views=4)
    other = degrade(capture, Degradation(kind="occlusion", severity=severity), "scene")
    for view, mask in (capture.masks or {}).items():
        changed = (other.images[view] != capture.images[view]).any(axis=-1)
        assert changed[mask >= 128].mean() == pytest.approx(share, abs=0.01)


def test_a_stronger_accident_is_the_same_one():
    capture = make_capture(120, 90, views=2)
    weak, strong = (degrade(capture, Degradation(kind="occlusion", severity=s), "scene").images for s in (2, 3))
    for view, image in capture.images.items():
        hidden, more = ((other[view] != image).any(axis=-1) for other in (weak, strong))
        assert more[hidden].mean() > 0.99  # but where a patch has by chance the colour that it hides


def test_patches_are_found_a_place_with_neither_mask_nor_background():
    assert (of(grey(), "occlusion", 5) != 128).any(axis=-1).mean() == pytest.approx(0.4, abs=0.01)


@given(tones=st.floats(4, 5))
@settings(deadline=None, max_examples=10)
def test_flat_leaves_few_tones_none_of_them_black_or_white(tones):
    capture = make_capture(100, 100, views=1)
    shown = degrade(capture, Degradation(kind="flat", severity=tones), "scene").images[V]
    inside = (capture.masks or {})[V] == 255
    levels = np.unique(shown[inside])
    assert len(levels) <= 3
    assert levels.min() > 0 and (tones < 5 or levels.tolist() == [64, 191])
    assert (shown[(capture.masks or {})[V] == 0] == 255).all()


@pytest.mark.parametrize("severity", np.arange(4, 5.01, 0.25))
def test_flat_keeps_light_surfaces_apart_from_a_white_background_at_any_severity(severity):
    capture = make_capture(60, 60, views=1)
    assert capture.masks is not None
    solid = capture.masks[V] == 255
    bright = np.where(solid[..., None], np.uint8(235), capture.images[V])
    shown = degrade(replace(capture, images={V: bright}), Degradation(kind="flat", severity=severity), "scene").images[
        V
    ]
    assert shown[solid].max() < 255


def test_smoothing_solves_the_total_variation_model_as_scikit_image_does():
    from skimage.restoration import denoise_tv_chambolle

    rng = np.random.default_rng(3)
    image = np.kron(rng.random((8, 6)) > 0.5, np.ones((8, 8)))  # patches with sharp borders
    image = np.clip(image + 0.2 * rng.standard_normal(image.shape), 0, 1).astype(np.float32)
    ours = smooth(image[..., None], 0.3, np.ones(image.shape, np.float32))[..., 0]
    theirs = denoise_tv_chambolle(image, weight=0.3, eps=1e-8, max_num_iter=5000)  # one channel: it couples none

    def energy(u):
        across, down = np.diff(u, axis=1, append=u[:, -1:]), np.diff(u, axis=0, append=u[-1:])
        return 0.3 * np.hypot(across, down).sum() + 0.5 * ((u - image) ** 2).sum()

    assert energy(theirs) <= energy(ours) < 1.05 * energy(theirs) < 0.5 * energy(image)
    assert np.abs(ours - theirs).mean() < 0.1 * np.abs(image - theirs).mean()


def test_low_texture_leaves_a_plain_background_and_the_outline_as_they_are():
    capture = make_capture(80, 80)
    flat = degrade(capture, Degradation(kind="low_texture", severity=5), "scene")
    for view, mask in (capture.masks or {}).items():
        before, after = capture.images[view], flat.images[view]
        assert (after[mask == 0] == 255).all()
        assert np.array_equal(after[mask < 128], before[mask < 128])
        inside = mask == 255
        assert after[inside].std() < 0.2 * before[inside].std()


def test_low_texture_finds_a_plain_background_by_its_colour_when_there_are_no_masks():
    capture = replace(make_capture(80, 80), masks=None)
    flat = degrade(capture, Degradation(kind="low_texture", severity=5), "scene")
    for view, image in capture.images.items():
        behind = (image == 255).all(axis=-1)
        assert (flat.images[view][behind] == 255).all()
        assert flat.images[view][~behind].mean() == pytest.approx(image[~behind].mean(), abs=1.0)  # no white bled in


def test_a_silhouette_is_first_the_exact_mask_and_then_loses_agreement_with_it():
    capture = make_capture(100, 100)
    masks = capture.masks or {}
    exact = degrade(capture, Degradation(kind="silhouette", severity=1), "scene")
    assert all(np.array_equal(exact.images[view][..., 0], masks[view]) for view in masks)
    assert exact.background == (0, 0, 0)

    def agreement(severity: float) -> float:
        shown = degrade(capture, Degradation(kind="silhouette", severity=severity), "scene").images
        pairs = [(shown[view][..., 0] > 127, masks[view] > 127) for view in masks]
        return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))

    values = [agreement(severity) for severity in (1, 2, 3, 4, 5)]
    assert values[0] == 1
    assert all(later < earlier for earlier, later in pairwise(values)), values


def test_a_spoilt_silhouette_does_not_come_with_the_true_mask():
    spoilt = degrade(make_capture(), Degradation(kind="silhouette", severity=4), "scene")
    for view, mask in (spoilt.masks or {}).items():
        assert np.array_equal(mask, spoilt.images[view][..., 0])


def test_a_silhouette_needs_held_out_masks_and_says_so():
    with pytest.raises(ValueError, match=r"held-out views .* have no masks"):
        degrade_truth(make_truth(make_capture(), masks=False), Degradation(kind="silhouette", severity=1))


def behind(images, masks):
    """Pixels that are background alone, of all views: (views, pixels, channels)."""
    return np.stack([images[view][masks[view] == 0] for view in images])


def test_backgrounds_are_replaced_and_objects_are_not():
    capture = make_capture(80, 80)
    masks = capture.masks or {}
    for kind in ("black_background", "backdrop", "noisy_background"):
        spoilt = degrade(capture, Degradation(kind=kind, severity=5), "scene")
        for view, mask in masks.items():
            assert np.array_equal(spoilt.images[view][mask == 255], capture.images[view][mask == 255])
    black = degrade(capture, Degradation(kind="black_background", severity=5), "scene")
    assert not behind(black.images, masks).any()
    assert black.background == (0, 0, 0)
    grey = degrade(capture, Degradation(kind="black_background", severity=2), "scene")
    assert (behind(grey.images, masks) == 153).all()  # 0.6 of white, and what is told agrees
    assert grey.background == pytest.approx((0.6, 0.6, 0.6))


def test_a_backdrop_is_one_picture_for_all_views_and_noise_is_another_in_each():
    capture = make_capture(80, 80)
    masks, truth = capture.masks or {}, make_truth(capture)
    backdrop = Degradation(kind="backdrop", severity=5)
    shown = behind(degrade(capture, backdrop, "scene").images, masks)
    assert (shown == shown[0]).all()
    assert shown.std() > 30  # there are features to be found
    held = degrade_truth(truth, backdrop).heldout.images
    assert np.array_equal(held[0][masks["v000"] == 0], shown[0])  # and held-out views have it too
    noisy = Degradation(kind="noisy_background", severity=5)
    shown = behind(degrade(capture, noisy, "scene").images, masks)
    assert not (shown[0] == shown[1]).all()
    assert shown.mean() == pytest.approx(127.5, abs=3)
    held = degrade_truth(truth, noisy).heldout.images
    assert (held[0][masks["v000"] == 0] == 128).all()
    assert degrade(capture, noisy, "scene").background is None


def test_a_background_needs_held_out_masks_and_says_so():
    with pytest.raises(ValueError, match=r"held-out views .* have no masks"):
        degrade_truth(make_truth(make_capture(), masks=False), Degradation(kind="backdrop", severity=1))


LEVELS = {  # severities 1 to 5, as the list of kinds that this suite was designed from has them
    "gaussian_noise": {"std": (0.08, 0.12, 0.18, 0.26, 0.38)},
    "impulse_noise": {"amount": (0.03, 0.06, 0.09, 0.17, 0.27)},
    "speckle_noise": {"std": (0.15, 0.2, 0.35, 0.45, 0.6)},
    "defocus_blur": {"radius": (3, 4, 6, 8, 10)},
    "gaussian_blur": {"sigma": (1, 2, 3, 4, 6)},
    "motion_blur": {"length": (10, 15, 15, 15, 20), "sigma": (3, 5, 8, 12, 15)},
    "brightness": {"gain": (0.1, 0.2, 0.3, 0.4, 0.5)},
    "contrast": {"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
    "jpeg": {"quality": (25, 18, 15, 10, 7)},
    "occlusion": {"share": (0.05, 0.1, 0.2, 0.3, 0.4)},
    "fewer_views": {"share": (0.5, 0.25, 0.12, 0.08, 0.06)},
    "prior_elevation": {"widen": (0.1, 0.2, 0.3, 0.4, 0.5)},
    "start_noise": {"std": (0.05, 0.1, 0.15, 0.3, 0.6)},
    "focal_error": {"factor": (1.02, 1.05, 1.1, 1.2, 1.4)},
}


@pytest.mark.parametrize("name", LEVELS)
def test_the_levels_are_those_of_the_list(name):
    assert {parameter: values[1:] for parameter, values in KINDS[name].levels.items()} == LEVELS[name]


def test_levels_that_are_named_by_their_inverse_are_the_published_ones():
    """Hendrycks and Dietterich 2019, as released: rates of photons, factors of pixels; tones are a list of ours."""
    levels = {name: kind.levels for name, kind in KINDS.items()}
    assert [round(std**-2) for std in levels["shot_noise"]["std"][1:]] == [60, 25, 12, 5, 3]
    assert [round(1 / block, 2) for block in levels["pixelate"]["block"][1:]] == [0.6, 0.5, 0.4, 0.3, 0.25]
    assert levels["flat"]["tones"][1:] == (24, 12, 6, 3, 2)
    reach = levels["prior_mismatch"]["reach"]
    assert (reach[1], reach[5]) == (1.05, 1.5)
