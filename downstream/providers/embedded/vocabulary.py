"""The words the embedded director writes into its prompts and the embedded painter draws by."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar


class Setting(StrEnum):
    """Where a scene is."""

    FOREST = "forest"
    SEA = "sea"
    LAKE = "lake"
    MOUNTAINS = "mountains"
    RIVER = "river"
    ROAD = "road"
    PLAIN = "plain"
    GARDEN = "garden"
    CITY = "city"
    VILLAGE = "village"
    INTERIOR = "room with a window"


class TimeOfDay(StrEnum):
    """When it is."""

    DAWN = "dawn"
    DAY = "daylight"
    DUSK = "dusk"
    NIGHT = "night"


class Weather(StrEnum):
    """What is in the air."""

    CLEAR = "clear sky"
    CLOUDS = "clouds"
    FOG = "fog"
    RAIN = "rain"
    SNOW = "snow"
    PETALS = "drifting petals"


class Subject(StrEnum):
    """Who or what the eye comes to rest on."""

    NONE = "nobody"
    FIGURE = "lone figure"
    TWO_FIGURES = "two figures"
    CHILD = "child"
    CHILDREN = "children"
    CROWD = "crowd"
    HOUSE = "house"
    TREE = "tree"
    BOAT = "boat"
    BIRDS = "birds"
    TOWER = "tower"
    BRIDGE = "bridge"
    ANIMAL = "deer"
    GATE = "gate"
    LANTERN = "lantern"


Word = TypeVar("Word", Setting, TimeOfDay, Weather, Subject)

ALSO_CALLED: dict[Setting | TimeOfDay | Weather | Subject, str] = {
    Setting.FOREST: "woods woodland grove jungle thicket",
    Setting.SEA: "ocean coast shore beach harbour harbor island bay waves",
    Setting.LAKE: "pond pool lagoon reservoir fjord",
    Setting.MOUNTAINS: "mountain peak peaks cliff valley alps summit glacier",
    Setting.RIVER: "stream brook canal riverbank creek",
    Setting.ROAD: "path lane track highway trail",
    Setting.PLAIN: "field fields meadow steppe prairie desert moor hills hill grassland",
    Setting.GARDEN: "orchard park courtyard blossoms",
    Setting.CITY: "town street streets skyline rooftops square metropolis station",
    Setting.VILLAGE: "hamlet farm farmhouse cottages",
    Setting.INTERIOR: "room window indoors interior kitchen bedroom study hall library chamber attic",
    TimeOfDay.DAWN: "sunrise daybreak morning",
    TimeOfDay.DAY: "day noon midday afternoon sunlight sunny",
    TimeOfDay.DUSK: "sunset twilight evening nightfall",
    TimeOfDay.NIGHT: "midnight moonlight moonlit stars starry moon",
    Weather.CLEAR: "clear cloudless",
    Weather.CLOUDS: "cloudy cloud overcast wind windy storm stormy",
    Weather.FOG: "mist misty foggy haze hazy smoke",
    Weather.RAIN: "rainy raining drizzle downpour",
    Weather.SNOW: "snowy snowing winter frost ice blizzard",
    Weather.PETALS: "petals spring blossom falling leaves",
    Subject.FIGURE: "figure man woman person girl boy traveller traveler wanderer giant",
    Subject.TWO_FIGURES: "couple lovers pair",
    Subject.CHILD: "toddler",
    Subject.CHILDREN: "kids",
    Subject.CROWD: "people procession gathering",
    Subject.HOUSE: "cottage home hut cabin",
    Subject.TREE: "oak",
    Subject.BOAT: "ship sail raft",
    Subject.BIRDS: "bird flock gulls swallows",
    Subject.TOWER: "lighthouse castle church steeple",
    Subject.BRIDGE: "viaduct",
    Subject.ANIMAL: "animal stag horse dog fox",
    Subject.GATE: "doorway door archway",
    Subject.LANTERN: "lamp candle streetlamp",
}
"""Further words that mean the same; a prompt by another hand is understood as well as it goes."""


def first_named(kind: type[Word], prompt: str) -> Word | None:
    """Returns the member of ``kind`` that ``prompt`` names first; None when it names none."""
    named = [(match.start(), -match.end(), word) for word in kind if (match := _pattern(word).search(prompt.lower()))]
    return min(named)[2] if named else None


def _pattern(word: Setting | TimeOfDay | Weather | Subject) -> re.Pattern[str]:
    names = [word.value, *ALSO_CALLED.get(word, "").split()]
    return re.compile(rf"\b(?:{'|'.join(names)})\b")
