"""How the camera moves from picture to picture: fitting what is shown, never twice the same in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.production import MotionType
from downstream.providers.embedded.vocabulary import Setting, Subject, Weather

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from downstream.domain.language import Direction
    from downstream.providers.embedded.reading import Scene

_RESTING = 0.25  # below this intensity a picture rests
_TALL = frozenset({Subject.TOWER, Subject.TREE, Subject.BIRDS})
_FALLING = frozenset({Weather.SNOW, Weather.PETALS, Weather.RAIN})
_WIDE = frozenset({Setting.SEA, Setting.ROAD, Setting.RIVER, Setting.PLAIN, Setting.LAKE, Setting.CITY})

_MOVES = {
    MotionType.PUSH_IN: "push in towards the middle of the picture",
    MotionType.PULL_BACK: "pull back until the whole place is seen",
    MotionType.PAN_LEFT: "pan to the left",
    MotionType.PAN_RIGHT: "pan to the right",
    MotionType.RISE: "rise",
    MotionType.DESCEND: "descent",
    MotionType.DRIFT: "drift, as if the picture were breathing",
}


def motion_types(
    seen: Sequence[Scene], intensities: Sequence[float], direction: Direction, random: Random
) -> tuple[MotionType, ...]:
    """One movement a scene: opens with a push in, ends pulling back or drifting, and neighbours differ."""
    onward, back = MotionType.PAN_RIGHT, MotionType.PAN_LEFT
    if direction == "rtl":
        onward, back = back, onward
    closing = random.choice((MotionType.PULL_BACK, MotionType.DRIFT))
    motions = [MotionType.PUSH_IN]
    for index in range(1, len(seen) - 1):
        taken = {motions[-1], closing} if index == len(seen) - 2 else {motions[-1]}
        pan = back if onward in motions[-3:] else onward
        wishes = _wishes(seen[index], intensities[index], pan)
        motions.append(next(wish for wish in wishes if wish not in taken))
    return (*motions, closing)


def motion_prompt(motion: MotionType, intensity: float, scene: Scene) -> str:
    """The movement in words, for who makes the clip."""
    strength = "strong" if intensity > 0.66 else "calm" if intensity > 0.33 else "barely noticeable"
    air = f" {scene.weather.capitalize()} moves on its own." if scene.weather is not Weather.CLEAR else ""
    return f"One {strength}, even {_MOVES[motion]}; near things pass faster than far ones.{air} No cut."


def _wishes(scene: Scene, intensity: float, pan: MotionType) -> Iterator[MotionType]:
    """What would suit the scene, best first; in the end everything does."""
    if intensity < _RESTING:
        yield MotionType.DRIFT
    if scene.setting is Setting.INTERIOR:
        yield MotionType.PUSH_IN
    if scene.subject in _TALL:
        yield MotionType.RISE
    if scene.setting in _WIDE:
        yield pan
    if scene.weather in _FALLING:
        yield MotionType.DESCEND
    yield from (MotionType.PUSH_IN, pan, MotionType.PULL_BACK, MotionType.RISE, MotionType.DRIFT)
