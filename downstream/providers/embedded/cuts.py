"""Where a story is cut: into stretches even in length and least torn in sense."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from random import Random
from typing import TYPE_CHECKING

from downstream.domain.text import Block, BlockKind, blocks, ends_sentence, is_clean_cut, sentence_starts
from downstream.providers.embedded.lexicon import TURNS
from downstream.providers.embedded.reading import place_and_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downstream.providers.embedded.vocabulary import Setting, TimeOfDay

# Prices are in the currency of uneven length (see _uneven): a stretch half as long again as the mean costs about 0.4.
_AFTER_BREAK = -1.0
_BEFORE_HEADING = -0.6
_BEFORE_TURN = -0.3  # "One morning", "Years went over"
_BEFORE_CHANGE = -0.25  # of place, of the time of day
_AFTER_SPEECH = 0.15
_BEFORE_SPEECH = 0.4  # who speaks, and where, is said just before
_BEFORE_VERSE = 0.6
_BEFORE_FRAGMENT = 0.5
_AFTER_FRAGMENT = 1.0  # a sign, a signature, a line that leads on
_AFTER_QUESTION = 0.8  # the next paragraph answers it
_WITHIN_PARAGRAPH = 0.7
_WITHIN_EXCHANGE = 1.5
_WITHIN_VERSE = 1.5
_WITHIN_QUOTATION = 1.0  # on top of the others
_ANYWHERE = 2.0

_BEAT_CHARACTERS = 160  # a paragraph this short between two speeches belongs to their exchange
_LINE_CHARACTERS = 60  # a question or a fragment is no longer than a line
_LEAST_CHARACTERS = 60.0  # a shorter stretch is not worth tearing a sentence for
_MOST_TIMES_MEAN = 2.0
_QUOTES = '"“”„«»「」『』'
_OPENING = re.compile(r"\W*(\w+)\W+(\w+)")
_LINE_START = re.compile(r"[\n\r\u2028]\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Cut:
    """The text may be cut before ``text[position]``, at a price; a negative price is an invitation."""

    position: int
    price: float


def stretches(text: str, language: str, fewest: int, most: int, take: int = 1) -> tuple[str, ...]:
    """The text in ``fewest`` to ``most`` pieces that together are the text; fewer when it has too few places to cut."""
    usual = max(_LEAST_CHARACTERS, 2 * _visible(text) / (fewest + most))
    cuts = sorted(_places(text, language, blocks(text), usual), key=lambda cut: cut.position)
    if take > 1:
        random = Random(f"{take} {text}")  # noqa: S311 - another plausible plan, not a secret
        cuts = [replace(cut, price=cut.price + random.uniform(0, 0.6)) for cut in cuts]
    bounds = [Cut(0, 0.0), *cuts, Cut(len(text), 0.0)]
    plans = [
        _cheapest(text, bounds, count) for count in range(min(fewest, len(cuts) + 1), min(most, len(cuts) + 1) + 1)
    ]
    _, positions = sorted(plans)[(take - 1) % len(plans)]
    return tuple(text[start:end] for start, end in pairwise(positions))


def _visible(text: str) -> int:
    return sum(map(len, text.split()))


def _places(text: str, language: str, found: Sequence[Block], usual: float) -> Iterator[Cut]:
    """Every place where the text may be cut; ``usual`` is the length a stretch usually gets."""
    spoken = _exchanges(found)
    changes = _changes(text, language, found)
    for index, block in enumerate(found):
        if block.end - block.start > 0.5 * usual:
            yield from _places_within(text, block, usual)
        if index + 1 == len(found):
            return
        following = found[index + 1]
        first, last = spoken[index]
        if first <= index < last:
            if found[last].end - found[first].start > 0.9 * usual:
                yield Cut(following.start, _WITHIN_EXCHANGE)
        else:
            price = _seam(text, language, block, following)
            if price < inf:
                yield Cut(following.start, price + _BEFORE_CHANGE * changes[index + 1])


def _exchanges(found: Sequence[Block]) -> list[tuple[int, int]]:
    """For every block the first and last block of the exchange of speeches it belongs to (itself, when to none)."""
    extents = []
    first = 0
    for index in range(len(found)):
        if index == 0 or not _continues(found, index):
            first = index
        extents.append(first)
    lasts = {start: index for index, start in enumerate(extents)}
    return [(start, lasts[start]) for start in extents]


def _continues(found: Sequence[Block], index: int) -> bool:
    """The block carries on the exchange of the block before it."""
    before, block = found[index - 1], found[index]
    after = found[index + 1].kind if index + 1 < len(found) else None
    if block.kind is BlockKind.DIALOGUE:
        return before.kind is BlockKind.DIALOGUE or (
            index > 1 and _is_beat(before) and found[index - 2].kind is block.kind
        )
    return _is_beat(block) and before.kind is after is BlockKind.DIALOGUE


def _is_beat(block: Block) -> bool:
    return block.kind is BlockKind.PROSE and block.end - block.start <= _BEAT_CHARACTERS


def _changes(text: str, language: str, found: Sequence[Block]) -> list[int]:
    """For every block how much changes with it, of place and time of day."""
    place: Setting | None = None
    time: TimeOfDay | None = None
    changes = []
    for block in found:
        new_place, new_time = place_and_time(text[block.start : block.end], language)
        changes.append(
            (None not in (place, new_place) and place != new_place)
            + (None not in (time, new_time) and time != new_time)
        )
        place, time = new_place or place, new_time or time
    return changes


def _seam(text: str, language: str, block: Block, following: Block) -> float:
    """The price of a cut between two blocks; infinite where there must be none."""
    if following.kind is BlockKind.BREAK or block.kind is BlockKind.HEADING:
        return inf
    if block.kind is BlockKind.BREAK:
        return _AFTER_BREAK
    if following.kind is BlockKind.HEADING:
        return _BEFORE_HEADING
    return _leaving(text, block) + _entering(text, language, following)


def _leaving(text: str, block: Block) -> float:
    words = text[block.start : block.end]
    if block.kind is BlockKind.VERSE:
        return 0.0
    if not ends_sentence(words):
        return _AFTER_FRAGMENT
    if len(words) <= _LINE_CHARACTERS and words[-1] in "?？؟":  # noqa: RUF001
        return _AFTER_QUESTION
    return _AFTER_SPEECH if block.kind is BlockKind.DIALOGUE else 0.0


def _entering(text: str, language: str, block: Block) -> float:
    words = text[block.start : block.end]
    if block.kind is BlockKind.VERSE:
        return _BEFORE_VERSE
    if block.kind is BlockKind.DIALOGUE:
        return _BEFORE_SPEECH
    if len(words) <= _LINE_CHARACTERS and not ends_sentence(words):
        return _BEFORE_FRAGMENT
    return _BEFORE_TURN if _is_turn(words, language) else 0.0


def _is_turn(words: str, language: str) -> bool:
    opening = _OPENING.match(words)
    turns = TURNS.get(language.partition("-")[0].lower(), frozenset())
    return opening is not None and not turns.isdisjoint({opening[1].lower(), f"{opening[1]} {opening[2]}".lower()})


def _places_within(text: str, block: Block, usual: float) -> Iterator[Cut]:
    """Places inside a long block: a verse's lines, a paragraph's sentences, and spaces where it has neither."""
    if block.kind is BlockKind.VERSE:
        # A verse is kept whole unless no picture could be given to so much of it.
        found = list(_lines(text, block)) if block.end - block.start > 1.4 * usual else []
    else:
        found = list(_sentences(text, block))
    yield from found
    if block.kind is BlockKind.VERSE and not found:
        return
    for start, end in pairwise([block.start, *(cut.position for cut in found), block.end]):
        if end - start > 0.6 * usual:
            yield from _anywhere(text, start, end, max(1, int(usual / 8)))


def _lines(text: str, verse: Block) -> Iterator[Cut]:
    for found in _LINE_START.finditer(text, verse.start, verse.end):
        yield Cut(found.end(), _WITHIN_VERSE)


def _sentences(text: str, block: Block) -> Iterator[Cut]:
    price = _WITHIN_EXCHANGE if block.kind is BlockKind.DIALOGUE else _WITHIN_PARAGRAPH
    quotes: Counter[str] = Counter()
    seen = block.start
    for position in sentence_starts(text, block.start, block.end):
        quotes.update(character for character in text[seen:position] if character in _QUOTES)
        seen = position
        yield Cut(position, price + (_WITHIN_QUOTATION if _is_open(quotes) else 0.0))


def _is_open(quotes: Counter[str]) -> bool:
    """A quotation was opened and not closed yet, in whichever way the text quotes."""
    if quotes["„"]:
        curly = quotes["„"] != quotes["“"] + quotes["”"]
    else:
        curly = quotes["“"] != quotes["”"] if quotes["“"] else quotes["”"] % 2 == 1
    paired = any(quotes[opening] != quotes[closing] for opening, closing in ("«»", "「」", "『』"))
    return curly or paired or quotes['"'] % 2 == 1


def _anywhere(text: str, start: int, end: int, step: int) -> Iterator[Cut]:
    """A space every ``step`` characters; where there is none, any place that tears no character apart."""
    for wanted in range(start + step, end - step + 1, step):
        window = range(wanted, wanted + step)
        spaces = (place for place in window if text[place - 1].isspace() and not text[place].isspace())
        clean = (place for place in window if is_clean_cut(text, place) and not text[place].isspace())
        position = next((place for place in spaces if is_clean_cut(text, place)), None) or next(clean, None)
        if position:
            yield Cut(position, _ANYWHERE)


def _cheapest(text: str, bounds: Sequence[Cut], count: int) -> tuple[float, tuple[int, ...]]:
    """The best way to make exactly ``count`` stretches: its price, and where they begin and end."""
    marks = [0]
    for left, right in pairwise(bounds):
        marks.append(marks[-1] + _visible(text[left.position : right.position]))
    mean = max(1, marks[-1]) / count
    costs, ways = [0.0] + [inf] * (len(bounds) - 1), []
    for _ in range(count):
        costs, way = _one_more(bounds, marks, mean, costs)
        ways.append(way)
    return costs[-1], tuple(bounds[index].position for index in _traced(ways, len(bounds) - 1))


def _traced(ways: Sequence[Sequence[int]], last: int) -> list[int]:
    """The bounds on the way to the last one, first to last."""
    passed = [last]
    for way in reversed(ways):
        passed.insert(0, way[passed[0]])
    return passed


def _one_more(
    bounds: Sequence[Cut], marks: Sequence[int], mean: float, costs: Sequence[float]
) -> tuple[list[float], list[int]]:
    """The price of reaching every bound with one more stretch, and the bound that stretch begins at."""
    cheapest, way = [inf] * len(bounds), [0] * len(bounds)
    for end in range(1, len(bounds)):
        mark = marks[end]
        for start in range(end - 1, -1, -1):
            length = (mark - marks[start]) / mean
            # Among stretches of at most two means and uncuttable ones there is always a way of every count.
            if length > _MOST_TIMES_MEAN and start < end - 1:
                break
            cost = costs[start] + _uneven(length) if costs[start] < inf else inf
            if cost < cheapest[end]:
                cheapest[end], way[end] = cost, start
        cheapest[end] += bounds[end].price
    return cheapest, way


def _uneven(times_mean: float) -> float:
    return 1.5 * (times_mean - 1) ** 2 + 4 * max(0.0, times_mean - 1.7) + 2 * max(0.0, 0.45 - times_mean)
