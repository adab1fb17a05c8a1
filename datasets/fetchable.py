"""Which published scenes can be fetched: those whose card has addresses and hashes that were checked."""

from __future__ import annotations

from bench.matrix.names import UnknownName, nearest
from bench.scene import SceneError
from datasets.card import Card, cards


def fetchable(name: str) -> Card:
    """The card of a published scene that has downloads. Raises UnknownName for a scene that no card knows, SceneError,
    with the way to get it by hand, for one without."""
    card = next((card for card in cards() if name in card.known or card.fits(name)), None)
    if card is None:
        known = [scene for each in cards() for scene in each.known]
        raise UnknownName(f"no published scene is called {name!r}{nearest(name, known)}")
    if not card.download:
        raise SceneError(f"{name} is not fetched, for no address of it could be checked; by hand: {card.how}")
    return card
