"""What is known of a scene beside its files: one TOML card, ours for published sets, the user's own in the folder."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
)

from bench.matrix.names import nearest
from bench.regime import Regime
from bench.scene import Reference, SceneError
from bench.stated_prior import WALKS, StatedPrior, prior_of, usual
from bench.task import PosePrior
from datasets.background import spoken
from datasets.loaders.intrinsics import KEYS

OWN_CARD = "unposed.toml"
"""A card in the scene's own folder; what it says wins over ours."""

_OURS_ALONE = {"scenes", "known", "how", "download"}
"""Fields that mean something in our own cards alone."""

_FOLDER = Path(__file__).parent / "cards"


def _read_prior(prior: Any) -> Any:
    """A table of a prior's fields; or one with a `walk`, or the name of one: a prior of nothing but what it states."""
    if isinstance(prior, str):
        prior = {"walk": prior}
    if not isinstance(prior, dict):
        return prior
    known = [field.name for field in dataclasses.fields(StatedPrior)]
    for key in prior:
        if key not in known:
            raise ValueError(f"a prior has no field {key!r}{nearest(key, known)}")
    if "walk" not in prior:
        return prior
    for walk in WALKS:
        if walk == prior["walk"]:
            radius = TypeAdapter(tuple[float, float]).validate_python(prior["radius"]) if "radius" in prior else None
            return TypeAdapter(StatedPrior).validate_python({**dataclasses.asdict(usual(walk, radius)), **prior})
    raise ValueError(f"walk must be one of {', '.join(WALKS)}, and is {prior['walk']!r}")


Share = Annotated[float, Field(ge=0, le=1)]


def _only_intrinsics(camera: Any) -> Any:
    for key in camera if isinstance(camera, dict) else ():
        if key not in KEYS:
            raise ValueError(f"a camera has no {key!r}{nearest(key, KEYS)}")
    return camera


class Download(BaseModel):
    """One archive or file, the same at every address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpUrl
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    mirrors: tuple[HttpUrl, ...] = ()
    unpack_to: str = "."  # below a data root

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address, in the order in which they are tried."""
        return tuple(str(url) for url in (self.url, *self.mirrors))


class Card(BaseModel):
    """Every field has a default, so that a folder needs no card at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenes: tuple[str, ...] = ()  # globs of the names it is for; in a folder's own card: none
    known: tuple[str, ...] = ()  # scenes to list even where they are absent
    how: str = ""  # how to get them, in a sentence without its full stop
    loader: str | None = None  # None: recognised by the files
    views: Annotated[int, Field(ge=4)] | None = None  # so many training views, evenly chosen; None: all
    split: Literal["own"] | Annotated[int, Field(ge=2)] = "own"  # n: the first of every n frames is held out
    prior: Annotated[SerializeAsAny[PosePrior], BeforeValidator(_read_prior)] | None = None
    focal: Annotated[float, Field(gt=4, lt=2000)] | None = (
        None  # mm, in terms of 35 mm film, in place of the files' own
    )
    camera: Annotated[Mapping[str, float | bool | str], BeforeValidator(_only_intrinsics)] | None = (
        None  # fl_x, cx, k1, ...: intrinsics in the words of transforms.json, px, in place of the files' own
    )
    up: tuple[float, float, float] | None = None  # direction in the files' world that is turned to +z
    reference: Reference | None = None  # None: what is usual for the layout
    # sRGB behind the object; "real": whatever the borders look like; None: white behind transparent pixels, else as the
    # images' borders say
    background: tuple[Share, Share, Share] | Literal["real"] | None = None
    summary: str = ""
    licence: str = ""
    source: str = ""  # where it was published
    download: tuple[Download, ...] = ()

    def fits(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self.scenes)

    def restated(self, regime: Regime) -> Card:
        """With what a regime names in place of its own. Raises SceneError."""
        said: dict[str, Any] = {
            "views": regime.views, "split": regime.heldout,
            "background": regime.background and spoken(regime.background),
            "prior": regime.prior and prior_of(regime.prior),
        }  # fmt: skip
        return self.model_copy(update={name: value for name, value in said.items() if value is not None})

    @property
    def decisive(self) -> dict[str, Any]:
        """What of it decides pixels, poses or what a method is given."""
        return self.model_dump(
            mode="json",
            include={"loader", "views", "split", "prior", "focal", "camera", "up", "reference", "background"},
        )


@lru_cache(maxsize=1)
def cards() -> tuple[Card, ...]:
    """Our own cards, in the order of their file names."""
    return tuple(_card(_table(path), path) for path in sorted(_FOLDER.glob("*.toml")))


def card_for(name: str, folder: Path) -> Card:
    """The first of our cards whose globs match, overridden field by field by the folder's own. Raises SceneError."""
    ours = next((card for card in cards() if card.fits(name)), Card())
    own = folder / OWN_CARD
    if not own.is_file():
        return ours
    return _card({**ours.model_dump(exclude_unset=True), **_table(own)}, own)


def named_by_card(folder: Path) -> str:
    """The name of a folder given by its path: the longest tail of it that a card knows, or the last part alone.

    Raises SceneError for the root of all folders, which has none.
    """
    parts = folder.resolve().parts[1:]
    if not parts:
        raise SceneError(f"{folder} is the root of all folders and no scene: name the folder of one capture")
    tails = ["/".join(parts[-n:]) for n in (3, 2, 1) if n <= len(parts)]
    return next((tail for tail in tails if any(card.fits(tail) for card in cards())), tails[-1])


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SceneError(f"{path}: cannot be read as TOML ({error})") from error


def _card(table: dict[str, Any], path: Path) -> Card:
    try:
        return Card.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where, said = _where(first["loc"]), first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            fields = Download.model_fields if first["loc"][0] == "download" else set(Card.model_fields) - _OURS_ALONE
            raise SceneError(f"{path}: nothing is called {where!r}{nearest(str(first['loc'][-1]), fields)}") from error
        raise SceneError(f"{path}: {where}: {said}") from error


def _where(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location) or "card"
