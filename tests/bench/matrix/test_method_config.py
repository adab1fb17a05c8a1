"""A method's options without pydantic: a frozen dataclass, or none."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from bench.matrix.method_config import config_of, restored, whole
from bench.matrix.names import UnknownName
from bench.matrix.option_docs import options


@dataclass(frozen=True)
class Plain:
    steps: int = 3  # of Adam
    rate: float | None = None
    mode: Literal["a", "b"] = "a"
    fast: bool = False
    sizes: tuple[int, ...] = field(default=(1, 2))


class Kind:
    Config = Plain


def test_a_dataclass_is_a_config():
    made = config_of(Kind, "kind", {"steps": "5", "rate": "0.5", "mode": "b", "fast": "true"})
    assert made == Plain(steps=5, rate=0.5, mode="b", fast=True)
    assert restored(Kind, whole(made)) == made
    assert config_of(Kind, "kind", {"rate": "none"}) == Plain()
    found = {option.name: option for option in options(Plain, Plain())}
    assert (found["steps"].type, found["steps"].default, found["steps"].text) == ("int", 3, "of Adam")
    assert found["mode"].type == "a | b"
    for wrong in ({"steps": "many"}, {"mode": "c"}, {"fast": "perhaps"}, {"sizes": "1"}):
        with pytest.raises(ValueError, match=f"method 'kind': {next(iter(wrong))}="):
            config_of(Kind, "kind", wrong)
    with pytest.raises(UnknownName, match="did you mean steps"):
        config_of(Kind, "kind", {"step": "1"})


def test_a_method_without_options_needs_no_config():
    assert config_of(object, "bare", {}) is None and whole(None) == {} and not list(options(None, None))
    with pytest.raises(UnknownName, match="method 'bare' has no option 'a'"):
        config_of(object, "bare", {"a": "1"})
