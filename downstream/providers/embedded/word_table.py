"""Finds the words of a table in a text.

In a table's strings words before a bar name a thing outright; words after it are hints and count a third.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Meaning = TypeVar("Meaning")

_WORD = re.compile(r"\w+")
NAMED, HINTED = 3, 1


class WordTable(Generic[Meaning]):
    """Words between spaces: ``word*`` stands for every word that begins so, ``two_words`` for two in a row."""

    def __init__(self, table: Mapping[Meaning, str]) -> None:
        self._whole: dict[str, dict[Meaning, int]] = defaultdict(dict)
        self._beginnings: dict[str, dict[Meaning, int]] = defaultdict(dict)
        for meaning, word, weight in _entries(table):
            kept = self._beginnings if word.endswith("*") else self._whole
            kept[word.rstrip("*")][meaning] = weight

    def count(self, text: str) -> Counter[Meaning]:
        """How strongly ``text`` speaks of each meaning."""
        words = _WORD.findall(text.lower())
        counts: Counter[Meaning] = Counter()
        for word, following in zip(words, [*words, ""][1:], strict=True):
            counts.update(self.meanings(word))
            counts.update(self._whole.get(f"{word}_{following}", {}))
        return counts

    def meanings(self, word: str) -> dict[Meaning, int]:
        """What one word (in lower case) stands for, with weights; the longest fitting beginning decides."""
        if word in self._whole:
            return self._whole[word]
        beginnings = (word[:length] for length in range(len(word), 1, -1))
        return next((self._beginnings[part] for part in beginnings if part in self._beginnings), {})


class CharacterTable(Generic[Meaning]):
    """Words of a script that puts no space between them."""

    def __init__(self, table: Mapping[Meaning, str]) -> None:
        self._entries = tuple(_entries(table))

    def count(self, text: str) -> Counter[Meaning]:
        """How strongly ``text`` speaks of each meaning."""
        counts: Counter[Meaning] = Counter()
        for meaning, word, weight in self._entries:
            counts[meaning] += weight * text.count(word)
        return counts


def _entries(table: Mapping[Meaning, str]) -> Iterator[tuple[Meaning, str, int]]:
    for meaning, words in table.items():
        named, _, hinted = words.partition("|")
        yield from ((meaning, word, NAMED) for word in named.split())
        yield from ((meaning, word, HINTED) for word in hinted.split())
