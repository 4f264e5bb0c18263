"""How the embedded director reads scenes out of words."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from downstream.providers.embedded.lexicon import WORDS
from downstream.providers.embedded.reading import Scene, scenes
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather
from downstream.providers.embedded.word_table import WordTable


def read(*texts: str, language: str = "en", seed: int = 1) -> tuple[Scene, ...]:
    return scenes(texts, language, Random(seed))


def test_a_scene_is_what_the_words_say() -> None:
    (scene,) = read("At midnight the lighthouse stood in the rain above the sea.")

    assert scene == Scene(Setting.SEA, TimeOfDay.NIGHT, Weather.RAIN, Subject.TOWER)


def test_what_a_stretch_alone_speaks_of_outweighs_what_the_whole_story_does() -> None:
    seen = read(
        *["The garden, the garden."] * 4, "In the garden, a kitchen and its kitchen table.", "The garden again."
    )

    assert seen[4].setting is Setting.INTERIOR


def test_after_two_pictures_of_one_place_another_is_shown_when_the_text_allows_it() -> None:
    seen = read(*["The garden and its flowers. The road, the road."] * 4)

    assert [scene.setting for scene in seen[:3]] == [Setting.ROAD, Setting.ROAD, Setting.GARDEN]


@pytest.mark.parametrize("seed", range(10))
def test_weather_lasts_one_picture_and_not_into_another_place(seed: int) -> None:
    at_sea = read("Rain on the sea.", "The sea, the sea.", "The sea once more.", seed=seed)
    inland = read("Rain on the sea.", "A garden.", seed=seed)

    assert [scene.weather is Weather.RAIN for scene in at_sea] == [True, True, False]
    assert [scene.weather is Weather.RAIN for scene in inland] == [True, False]


@pytest.mark.parametrize("seed", range(10))
def test_a_place_the_text_leaves_open_is_the_last_one_or_near_it(seed: int) -> None:
    seen = read("The village slept.", "Nobody spoke.", "Nobody spoke.", seed=seed)

    assert seen[1].setting is Setting.VILLAGE
    assert seen[2].setting in {Setting.GARDEN, Setting.ROAD}


def test_between_two_named_times_the_day_goes_on() -> None:
    seen = read("At dawn.", "Nobody spoke.", "Nobody spoke.", "That night, at midnight.")

    assert [scene.time_of_day for scene in seen] == [TimeOfDay.DAWN, TimeOfDay.DAY, TimeOfDay.DUSK, TimeOfDay.NIGHT]


def test_a_subject_is_not_shown_twice_in_a_row_when_there_is_another() -> None:
    seen = read(*["A child at the gate. The child by the old tree."] * 4)

    assert all(earlier.subject is not later.subject for earlier, later in pairwise(seen))


@pytest.mark.parametrize("language", sorted(WORDS))
def test_every_language_has_words_for_everything_there_is_to_see(language: str) -> None:
    everything = {*Setting, *TimeOfDay, *Weather, *Subject} - {Subject.NONE}

    assert set(WORDS[language]) == everything
    assert all(words.partition("|")[0].split() for words in WORDS[language].values())


def test_a_word_table_knows_beginnings_pairs_and_hints() -> None:
    table = WordTable({"sea": "tenger* | salt", "dawn": "first_light", "coin": "tengerecki"})

    assert table.count("A tengeren, SALT!") == {"sea": 4}
    assert table.count("At first light, first of all") == {"dawn": 3}
    assert table.count("tengerecki") == {"coin": 3}
    assert table.count("teng") == {}
