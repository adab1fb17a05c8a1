"""What a degradation is called, and what its name promises."""

import subprocess
import sys

import pytest

from bench.degrade import KINDS, Degradation, parse


def test_a_label_reads_back_as_itself():
    for text, label in {
        "clean": "clean",
        "gaussian_noise@3": "gaussian_noise@3",
        " gaussian_noise @ 3.0": "gaussian_noise@3",
        "low_texture@2.5": "low_texture@2.5",
        "low_texture@0.0001": "low_texture@0.0001",
    }.items():
        degradation = parse(text)
        assert degradation.label == label
        assert parse(degradation.label) == degradation


def test_a_bare_kind_means_severity_1():
    assert parse("silhouette") == Degradation(kind="silhouette", severity=1)


@pytest.mark.parametrize("kind", KINDS)
def test_severity_0_of_every_kind_is_the_one_clean_cell(kind):
    assert parse(f"{kind}@0") == parse("clean")
    assert Degradation(kind=kind, severity=0).label == "clean"
    assert Degradation(kind=kind, severity=0, seed=7).parameters() == parse("clean").parameters()


def test_a_misspelt_kind_is_answered_with_the_nearest_known_one():
    with pytest.raises(ValueError, match="'gausian_noise': did you mean gaussian_noise"):
        parse("gausian_noise@3")
    with pytest.raises(ValueError, match="known are clean, low_texture, flat, gaussian_noise"):
        parse("xyz@1")


@pytest.mark.parametrize("text", ["gaussian_noise@6", "gaussian_noise@-1", "gaussian_noise@inf", "clean@1"])
def test_a_severity_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="severity"):
        parse(text)


@pytest.mark.parametrize("text", ["gaussian_noise@", "gaussian_noise@high", "gaussian_noise@nan", "gaussian_noise@1@2"])
def test_a_severity_that_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="write it as kind@severity"):
        parse(text)


def test_parameters_are_the_published_levels_and_linear_in_between():
    # ImageNet-C's gaussian noise: .08 .12 .18 .26 .38
    assert parse("gaussian_noise@4").parameters()["std"] == 0.26
    assert parse("gaussian_noise@4.5").parameters()["std"] == pytest.approx(0.32)
    assert parse("gaussian_noise@0.5").parameters()["std"] == pytest.approx(0.04)


def test_parameters_tell_apart_all_that_gives_other_pixels():
    variants = [
        Degradation(),
        Degradation(kind="gaussian_noise", severity=1),
        Degradation(kind="gaussian_noise", severity=1, seed=1),
        Degradation(kind="gaussian_noise", severity=2),
        Degradation(kind="low_texture", severity=1),
    ]
    assert len({repr(sorted(variant.parameters().items())) for variant in variants}) == len(variants)


def test_every_kind_can_be_listed():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.summary and "\n" not in kind.summary
        assert set(kind.levels) == set(kind.parameters(5))
        assert all(len(values) == 6 for values in kind.levels.values())


def test_listing_degradations_imports_nothing_heavy():
    code = "import sys, bench.degrade; print([m for m in ('torch', 'scipy', 'skimage') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
