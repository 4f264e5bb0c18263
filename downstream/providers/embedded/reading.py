"""Reads scenes out of a story's words: where, when, in what weather, with whom in sight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from downstream.providers.embedded.lexicon import WORDS
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather, Word
from downstream.providers.embedded.word_table import NAMED, CharacterTable, WordTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

Thing: TypeAlias = Setting | TimeOfDay | Weather | Subject
Claims: TypeAlias = dict[Thing, float]
"""How strongly a stretch of text speaks of each thing, measured against the whole story."""

_DAY = list(TimeOfDay)  # dawn, daylight, dusk, night: the order they follow each other
# Neighbours in this list can be reached on foot from one another.
_WALK = [
    Setting.INTERIOR,
    Setting.GARDEN,
    Setting.VILLAGE,
    Setting.ROAD,
    Setting.RIVER,
    Setting.FOREST,
    Setting.MOUNTAINS,
    Setting.LAKE,
    Setting.PLAIN,
    Setting.SEA,
    Setting.CITY,
]
_OUTDOORS = frozenset(Setting) - {Setting.INTERIOR}
_LAND = _OUTDOORS - {Setting.SEA, Setting.LAKE}
# What can be seen only in some settings; everything else can be seen anywhere.
_EVERYWHERE = frozenset(Setting)
_SEEN_IN: dict[Thing, frozenset[Setting]] = {
    Weather.PETALS: frozenset(Setting) - {Setting.SEA},
    Subject.CROWD: _LAND,
    Subject.HOUSE: _OUTDOORS,
    Subject.TREE: _LAND - {Setting.CITY},
    Subject.BOAT: frozenset({Setting.SEA, Setting.LAKE, Setting.RIVER}),
    Subject.BIRDS: _OUTDOORS,
    Subject.TOWER: _OUTDOORS - {Setting.FOREST},
    Subject.BRIDGE: _LAND - {Setting.GARDEN},
    Subject.ANIMAL: _LAND - {Setting.CITY},
    Subject.GATE: _LAND,
}
_ANYBODY = (Subject.FIGURE, Subject.BIRDS, Subject.TREE, Subject.TWO_FIGURES, Subject.HOUSE, Subject.BOAT, Subject.NONE)
_FAINT = 1.5  # one passing hint sets no scene
_JUST_SEEN, _SEEN_BEFORE = 0.4, 0.7  # what is left of a subject's claim one picture after, and two pictures after
_LONG_ENOUGH = 0.6  # what is left of a setting's claim after two pictures of it


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows."""

    setting: Setting
    time_of_day: TimeOfDay
    weather: Weather
    subject: Subject


def scenes(texts: Sequence[str], language: str, random: Random, *, loosely: bool = False) -> tuple[Scene, ...]:
    """One scene for each stretch of a story: found in its own words where they say, else carried on or chosen.

    Read ``loosely``, a stretch may show another of the things it speaks of.
    """
    found = [_loosened(claims, random) if loosely else claims for claims in _claims(texts, language)]
    settings = _settings(found, random)
    times = _times([_best(claims, TimeOfDay) for claims in found], random)
    weathers = _weathers(found, settings, random)
    subjects = _subjects(found, settings, random)
    shown: list[Scene] = []
    for parts in zip(settings, times, weathers, subjects, strict=True):
        shown.append(_unseen(Scene(*parts), shown))
    return tuple(shown)


def _claims(texts: Sequence[str], language: str) -> list[Claims]:
    """A thing the whole story speaks of claims less of each stretch than one that is spoken of there alone."""
    table = _table(language.partition("-")[0].lower())
    counts = [table.count(text) for text in texts]
    total = sum(counts, Counter[Thing]())
    return [{thing: count / sqrt(1 + total[thing] / len(texts)) for thing, count in one.items()} for one in counts]


@cache
def _table(language: str) -> WordTable[Thing] | CharacterTable[Thing]:
    if language in {"ja", "zh", "yue", "wuu"}:
        return CharacterTable(WORDS["han"])
    return WordTable(WORDS.get(language, {}))


def place_and_time(text: str, language: str) -> tuple[Setting | None, TimeOfDay | None]:
    """Where and when a paragraph says it is; None where it does not say."""
    counts = dict(_table(language.partition("-")[0].lower()).count(text))
    outright = {thing: float(count) for thing, count in counts.items() if count >= NAMED}
    return _best(outright, Setting), _best(outright, TimeOfDay)


def _loosened(claims: Claims, random: Random) -> Claims:
    return {thing: claim * random.uniform(0.5, 1.5) for thing, claim in claims.items()}


def _best(claims: Claims, kind: type[Word], weights: Mapping[Word, float] | None = None) -> Word | None:
    """The thing of that kind with the strongest claim; None when all are faint."""
    weighed = {
        thing: claim * (weights or {}).get(thing, 1.0) for thing, claim in claims.items() if isinstance(thing, kind)
    }
    best = max(weighed, key=lambda thing: weighed[thing], default=None)
    return best if best is not None and weighed[best] >= _FAINT else None


def _settings(found: Sequence[Claims], random: Random) -> list[Setting]:
    named: list[Setting | None] = []
    for claims in found:
        worn = {named[-1]: _LONG_ENOUGH} if len(named) > 1 and named[-1] and named[-1] == named[-2] else {}
        named.append(_best(claims, Setting, worn))
    return _walked(named, random)


def _walked(named: Sequence[Setting | None], random: Random) -> list[Setting]:
    """Between the settings the text names: stay for a picture, then wander on to where one gets on foot."""
    place = next((setting for setting in named if setting), random.choice(_WALK[1:]))
    step = random.choice((-1, 1))
    settings: list[Setting] = []
    unnamed = 0
    for setting in named:
        unnamed = 0 if setting else unnamed + 1
        if setting:
            place = setting
        elif settings and unnamed % 2 == 0:
            place = _WALK[(_WALK.index(place) + step) % len(_WALK)]
        settings.append(place)
    return settings


def _times(named: Sequence[TimeOfDay | None], random: Random) -> list[TimeOfDay]:
    """Between the times the text names the day goes on, never back; where it names none one day or night passes."""
    last = len(named) - 1
    hours = _hours(named)
    if not hours:
        opening = random.choice((0, 1))
        hours = {0: opening, last: opening + 3}
    first, final = min(hours), max(hours)
    # A story opens a little before the first time it names and closes a little after the last.
    hours.setdefault(0, hours[first] - (first > 1))
    hours.setdefault(last, hours[final] + (last - final > 1))
    places = sorted(hours)
    passed = np.interp(range(len(named)), places, [hours[place] for place in places])
    return [_DAY[int(hour) % len(_DAY)] for hour in np.floor(passed + 0.5)]


def _hours(named: Sequence[TimeOfDay | None]) -> dict[int, int]:
    """The named times as a clock that runs on: four a day, never back."""
    hours: dict[int, int] = {}
    hour = 0
    for index, time in enumerate(named):
        if time:
            hour += (_DAY.index(time) - hour) % len(_DAY)
            hours[index] = hour
    return hours


def _weathers(found: Sequence[Claims], settings: Sequence[Setting], random: Random) -> list[Weather]:
    """Weather that is not spoken of any more stays for one picture of the same place."""
    spoken_of = any(_best(claims, Weather) for claims in found)
    plain = (Weather.CLEAR, Weather.CLOUDS) if spoken_of else (Weather.CLEAR, Weather.CLOUDS, Weather.FOG)
    usual = {setting: random.choice(plain) for setting in Setting}
    weathers: list[Weather] = []
    lasting: tuple[Setting, Weather] | None = None
    for claims, setting in zip(found, settings, strict=True):
        named = _best(_possible(claims, setting), Weather)
        weathers.append(named or (lasting[1] if lasting and lasting[0] is setting else usual[setting]))
        lasting = (setting, named) if named else None
    return weathers


def _subjects(found: Sequence[Claims], settings: Sequence[Setting], random: Random) -> list[Subject]:
    subjects: list[Subject] = []
    for claims, setting in zip(found, settings, strict=True):
        worn = dict(zip(reversed(subjects[-2:]), (_JUST_SEEN, _SEEN_BEFORE), strict=False))
        others = [one for one in _ANYBODY if _is_possible(one, setting) and one not in subjects[-2:]]
        subjects.append(_best(_possible(claims, setting), Subject, worn) or random.choice(others))
    return subjects


def _possible(claims: Claims, setting: Setting) -> Claims:
    return {thing: claim for thing, claim in claims.items() if _is_possible(thing, setting)}


def _is_possible(thing: Thing, setting: Setting) -> bool:
    return setting in _SEEN_IN.get(thing, _EVERYWHERE)


def _unseen(scene: Scene, shown: Sequence[Scene]) -> Scene:
    """The scene, with another subject when the very same was shown before."""
    others = (replace(scene, subject=one) for one in _ANYBODY if _is_possible(one, scene.setting))
    return next((one for one in (scene, *others) if one not in shown), scene)
