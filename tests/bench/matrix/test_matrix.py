from pathlib import Path

import pytest

from bench.degrade import KINDS
from bench.matrix.plan import plan
from bench.matrix.registry import MethodRef, UnknownName, find_method, method_refs
from bench.matrix.selection import (
    Selection,
    parse_seeds,
    select_degradations,
    select_kinds,
    select_methods,
    select_scenes,
    split_list,
)
from bench.scene import SceneError

SCRIPTED = "tests/plugins/scripted.py"


def test_commas_within_brackets_belong_to_the_option_list():
    assert split_list("nerf, colmap_nerf[mapper=global,field=grid] ,x") == [
        "nerf", "colmap_nerf[mapper=global,field=grid]", "x",
    ]  # fmt: skip


def test_choices_that_are_numbers_and_sequences_are_read_as_such():
    found = find_method("nerf[sh_degree=0,growth=0.3:0.5]")
    assert found.config["sh_degree"] == 0 and list(found.config["growth"]) == [0.3, 0.5]
    assert list(find_method("barf[grid.coarse_sides_open=16:96]").config["grid"]["coarse_sides_open"]) == [16, 96]
    assert find_method("nerf[steps=9,tv_density=none]").config["tv_density"] is None
    assert find_method("gnerf[grid.quick.ab_open=none]").config["grid"]["quick"]["ab_open"] is None
    for option in ("sh_degree=7", "growth=0.3:x", "growth=0.3"):
        with pytest.raises(ValueError, match=r"input should be|one entry for each stage"):
            find_method(f"nerf[{option}]")


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), ("0-2,7", [0, 1, 2, 7]), ("3,1-3", [3, 1, 2])])
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "0,,x"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match="seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("clean,jpeg@2-4", ["clean", "jpeg@2", "jpeg@3", "jpeg@4"]),
        ("digital@5", ["jpeg@5", "pixelate@5"]),
        ("*_noise@1.5,shot_noise@1.5", [f"{name}@1.5" for name in KINDS if name.endswith("_noise")]),
        ("jpeg,jpeg@0-1", ["jpeg@1", "clean"]),
        ("all@3", [f"{name}@3" for name in KINDS]),
    ],
)
def test_degradations_are_kinds_families_and_globs_at_severities_and_ranges(text, labels):
    assert [each.label for each in select_degradations(text)] == labels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jpeg@4-2", "'4-2' runs backwards"),
        ("jpeg@1-6", "jpeg@6: a severity is a number from 0 to 5"),
        ("jpg@1-5", "'jpg': did you mean jpeg"),
        ("x*@2", r"no degradation matches 'x\*'"),
        ("clean@3", "clean has no severity"),
        ("clean@1-2", "clean has no severity"),
        ("jpeg@", "write it as kind@severity"),
        ("jpeg@0.5-2", "a range is of whole severities, as in jpeg@1-5"),
        ("", "no degradation is named"),
        (",", "no degradation is named"),
    ],
)
def test_other_degradations_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        select_degradations(text)


def test_kinds_are_named_alone_or_by_family():
    assert select_kinds("masks,silhouette,jpeg") == ["silhouette", "occlusion", "jpeg"]


def test_an_unknown_name_is_answered_with_the_nearest_known_one():
    with pytest.raises(UnknownName, match="did you mean blocks"):
        select_scenes("block", ())
    with pytest.raises(UnknownName, match="did you mean colmap_nerf"):
        select_methods("colmap_nrf")
    with pytest.raises(UnknownName, match="no option 'maper'; did you mean mapper"):
        select_methods("colmap_nerf[maper=global]")
    with pytest.raises(ValueError, match="mapper='fast'"):
        select_methods("colmap_nerf[mapper=fast]")


def test_a_scene_above_the_data_root_is_refused():
    with pytest.raises(SceneError, match=r"\.\."):
        select_scenes("../secret", ())


def test_all_means_all_that_is_here_and_names_what_is_not():
    present, absent = select_scenes("all", ())
    assert {"blocks", "blocks-plain", "blocks-repeat"} <= {source.name for source in present}
    assert "nerf_synthetic/lego" in {source.name for source in absent}
    assert all(source.missing for source in absent)


def test_an_absent_scene_named_outright_is_refused_with_how_to_get_it():
    with pytest.raises(UnknownName, match=r"nerf_synthetic/lego.* is not here"):
        select_scenes("nerf_synthetic/lego", ())


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(UnknownName, match="no scene matches"):
        select_scenes("nowhere/*", ())


def test_the_matrix_has_a_cell_for_every_combination():
    made = plan(
        Selection(
            scenes="blocks,blocks-plain",
            methods=f"{SCRIPTED},nerf",
            degradations="clean,gaussian_noise@3",
            seeds="0-2",
            effort="smoke",
        )
    )
    assert len({planned.cell for planned in made.cells}) == 2 * 2 * 2 * 3
    assert not any(planned.skip for planned in made.cells)


@pytest.mark.parametrize(
    ("method", "degradation", "reason"),
    [
        ("colmap_nerf", "silhouette@1", "needs colour images, not silhouettes"),
        ("inerf", "start_noise@1", "needs true poses of some views, and start_noise moves all of them"),
        ("gnerf", "start_noise@1", "start_noise spoils the start, which it is not given"),
        ("gnerf", "silhouette@1", None),
        ("barf", "start_noise@1", None),
    ],
)
def test_what_can_never_run_is_known_before_a_scene_is_read(method, degradation, reason):
    (cell,) = plan(
        Selection(scenes="blocks", methods=method, degradations=degradation, seeds="0", effort="smoke", roots=())
    ).cells
    assert cell.skip == reason


def test_two_methods_of_one_name_are_refused(tmp_path):
    (tmp_path / "method.py").write_text(Path(SCRIPTED).read_text().replace('name = "scripted"', 'name = "nerf"'))
    with pytest.raises(ValueError, match="two methods are called 'nerf'"):
        select_methods(f"nerf,{tmp_path / 'method.py'}")


def test_a_method_can_be_a_folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "method.py").write_text(Path(SCRIPTED).read_text())
    assert [method.label for method in select_methods(str(folder))[0]] == ["scripted"]


def test_a_plugin_that_cannot_be_imported_stops_only_those_who_name_it(monkeypatch):
    known = {**method_refs(), "wreck": MethodRef(name="wreck", target="no_such_module:Wreck")}
    monkeypatch.setattr("bench.matrix.selection.method_refs", lambda: known)
    monkeypatch.setattr("bench.matrix.registry.method_refs", lambda: known)
    found, broken = select_methods("all")
    assert "nerf" in {method.label for method in found}
    assert "no_such_module" in broken["wreck"]
    for label in ("wreck", "wreck[weights=/tmp]"):
        with pytest.raises(ValueError, match="no_such_module"):
            select_methods(label)


def test_dots_reach_into_a_part_of_the_config_and_leave_the_rest():
    config = find_method("gnerf[grid.quick.b=7,schedule=A-B]").method.config
    default = find_method("gnerf").method.config
    quick, unchanged = config["grid"]["quick"], default["grid"]["quick"]
    assert (config["schedule"], quick["b"], quick["a"]) == ("A-B", 7, unchanged["a"])
    assert config["grid"]["side_ab"] == default["grid"]["side_ab"]
    with pytest.raises(UnknownName, match=r"no option 'grid\.quik'; did you mean grid\.quick\?"):
        find_method("gnerf[grid.quik.b=7]")
    with pytest.raises(UnknownName, match="'field' has no parts"):
        find_method("gnerf[field.b=7]")
    with pytest.raises(ValueError, match="greater than 0"):
        find_method("gnerf[grid.quick.batch=0]")
