"""What stands below a table."""

from __future__ import annotations

from collections.abc import Iterator


class Footnotes:
    """Reasons and flags of one table, lettered in the order they are met; the same text has the same letter."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def letter(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return _letter(self.texts.index(text))

    def place(self, letter: str) -> tuple[int, str]:
        """Sorts letters: `z` before `aa`."""
        return len(letter), letter

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((_letter(k), text) for k, text in enumerate(self.texts))

    def __len__(self) -> int:
        return len(self.texts)


def _letter(k: int) -> str:
    """a ... z, aa, ab, ..."""
    return (_letter(k // 26 - 1) if k >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[k % 26]
