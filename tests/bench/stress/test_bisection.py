import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stress.bisection import bisect, grid

tolerances = st.sampled_from([0.1, 0.25, 0.3, 0.7, 1.0, 2.5, 5.0])
thresholds = st.floats(-0.5, 6)


def search(threshold, tolerance):
    """The search for a method that holds up to a threshold, and the severities that were looked at."""
    asked = []

    def evaluate(severities):
        asked.extend(severities.values())
        return {key: severity <= threshold for key, severity in severities.items()}

    return bisect(["m"], tolerance, evaluate)["m"], asked


@given(threshold=thresholds, tolerance=tolerances)
def test_the_breaking_point_lies_in_the_bracket_and_the_bracket_is_as_narrow_as_asked(threshold, tolerance):
    found, asked = search(threshold, tolerance)
    if threshold < 0:
        assert (found.verdict, asked) == ("fails when clean", [0])
    elif threshold >= 5:
        assert (found.verdict, asked) == ("> 5", [0, 5])
    else:
        assert found.holds is not None and found.breaks is not None
        assert found.holds <= threshold < found.breaks
        assert found.breaks - found.holds <= tolerance + 1e-9
        assert found.verdict == f"{found.holds:g}-{found.breaks:g}"


@given(threshold=thresholds, tolerance=tolerances)
def test_a_search_looks_at_few_severities_all_of_them_on_the_grid_and_none_twice(threshold, tolerance):
    _, asked = search(threshold, tolerance)
    severities = grid(tolerance)
    assert len(asked) == len(set(asked)) <= 2 + math.ceil(math.log2(len(severities)))
    assert set(asked) <= set(severities)


@given(answers=st.lists(st.booleans(), min_size=21, max_size=21))
def test_a_method_that_comes_and_goes_still_ends_the_search_between_a_success_and_a_failure(answers):
    severities = grid(0.25)
    known = dict(zip(severities, answers, strict=True))
    found = bisect(["m"], 0.25, lambda asked: {key: known[severity] for key, severity in asked.items()})["m"]
    if answers[0] and not answers[-1]:
        assert found.holds is not None and found.breaks is not None
        assert known[found.holds] and not known[found.breaks]
        assert severities.index(found.breaks) - severities.index(found.holds) == 1


@settings(max_examples=30)
@given(held=st.dictionaries(st.text(max_size=3), thresholds, min_size=1, max_size=5), tolerance=tolerances)
def test_many_keys_at_one_pace_find_what_each_finds_alone(held, tolerance):
    rounds = []

    def evaluate(asked):
        rounds.append(dict(asked))
        return {key: severity <= held[key] for key, severity in asked.items()}

    together = bisect(held, tolerance, evaluate)
    alone = {key: search(threshold, tolerance) for key, threshold in held.items()}
    assert together == {key: found for key, (found, _) in alone.items()}
    assert len(rounds) == max(len(asked) for _, asked in alone.values())


def test_what_has_no_answer_is_given_up_and_holds_nobody_back():
    def evaluate(asked):
        return {key: None if key == "skipped" and severity > 0 else severity < 3 for key, severity in asked.items()}

    found = bisect(["skipped", "other"], 1.0, evaluate)
    assert (found["skipped"].verdict, found["other"].verdict) == ("-", "2-3")


@pytest.mark.parametrize(
    ("tolerance", "severities"),
    [(2.5, (0, 2.5, 5)), (2.0, (0, 2, 4, 5)), (5.0, (0, 5)), (0.1, tuple(round(k / 10, 1) for k in range(51)))],
)
def test_the_grid_goes_from_clean_to_the_highest_severity_in_numbers_that_read_well(tolerance, severities):
    assert grid(tolerance) == severities


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 6.0, math.nan])
def test_a_tolerance_that_is_no_step_is_refused(tolerance):
    with pytest.raises(ValueError, match="step of the severity"):
        grid(tolerance)


@given(answers=st.lists(st.booleans(), min_size=21, max_size=21))
def test_what_is_left_at_most_is_never_less_than_what_is_looked_at(answers):
    known, told = dict(zip(grid(0.25), answers, strict=True)), []
    bisect(
        ["m"], 0.25, lambda asked: {key: known[severity] for key, severity in asked.items()},
        lambda searches: told.append(searches["m"].most_left),
    )  # fmt: skip
    assert told[0] == 2 + 5  # both ends, and 20 steps halved
    assert all(left >= len(told) - number for number, left in enumerate(told))
    assert all(later < before for before, later in itertools.pairwise(told))
