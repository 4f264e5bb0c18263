"""The stills the embedded keyframes draw."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from model_tools import Books
from PIL import Image

from downstream.domain.ports import KeyframeRequest, Picture
from downstream.providers.embedded.colour import to_lab
from downstream.providers.embedded.film import View
from downstream.providers.embedded.keyframes import EmbeddedKeyframes
from downstream.providers.embedded.recipe import Recipe
from downstream.providers.embedded.scenery import compose
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather, first_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EMBER = ("#1a1423", "#5d2a42", "#c05746", "#f2a65a", "#fff1d6")
TIDE = ("#0b1d2a", "#1f4e5f", "#79a8a9", "#d9e4dd", "#f4f7f7")
MOSS = ("#101a14", "#2f4a36", "#7a8f5a", "#d9c98c", "#f7efd8")
PLUM = ("#140f2d", "#3f2b63", "#8e5c9e", "#e0a8b8", "#fdeef0")
PASTELS = ("#cdb4db", "#ffc8dd", "#bde0fe")

REQUEST = KeyframeRequest(
    stream_id="a-story",
    segment_id="01",
    prompt="A lone figure stands in a forest at dusk, under a clear sky.",
    negative_prompt="text",
    palette=EMBER,
    width=320,
    height=180,
)


def draw(request: KeyframeRequest = REQUEST) -> Picture:
    return EmbeddedKeyframes().make(request, Books())


def pixels(picture: Picture) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB"), np.float64)


def scene(*words: str) -> NDArray[np.float64]:
    return pixels(draw(replace(REQUEST, prompt=", ".join(words))))


def distance_to(palette: Sequence[str], picture: NDArray[np.float64]) -> float:
    """How far, on average, a pixel's hue and chroma are from the nearest mixture of two colours of the palette."""
    colours = to_lab(np.array([list(bytes.fromhex(colour[1:])) for colour in palette]) / 255)
    shares = np.linspace(0, 1, 24)[:, None]
    mixtures = np.concatenate([one * shares + other * (1 - shares) for one, other in combinations(colours, 2)])
    seen = to_lab(picture[::6, ::6].reshape(-1, 3) / 255)
    apart = np.linalg.norm(seen[:, None, 1:] - mixtures[None, :, 1:], axis=2)
    return float(apart.min(axis=1).mean())


def test_the_same_request_is_the_same_picture_byte_for_byte() -> None:
    assert draw() == draw()


def test_the_same_requests_drawn_at_once_are_the_same_pictures() -> None:
    requests = [replace(REQUEST, segment_id=f"{number:02}") for number in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(draw, requests))
    assert at_once == [draw(request) for request in requests]


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, segment_id="02"),
        replace(REQUEST, take=2),
        replace(REQUEST, notes=("the trees are too dark",)),
        replace(REQUEST, stream_id="another-story"),
    ],
    ids=["segment", "take", "notes", "stream"],
)
def test_another_segment_take_note_or_stream_is_clearly_another_picture(other: KeyframeRequest) -> None:
    assert np.abs(pixels(draw()) - pixels(draw(other))).mean() > 6


@pytest.mark.parametrize("size", [(1280, 720), (64, 36), (180, 320), (640, 240)])
def test_a_keyframe_is_a_png_of_the_size_asked_for(size: tuple[int, int]) -> None:
    picture = draw(replace(REQUEST, width=size[0], height=size[1]))
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    assert (image.format, image.size, image.mode, picture.mime_type) == ("PNG", size, "RGB", "image/png")


def test_the_picture_is_the_same_scene_at_any_size() -> None:
    small = pixels(draw())
    large = Image.open(io.BytesIO(draw(replace(REQUEST, width=960, height=540)).data))
    shrunk = np.asarray(large.resize((320, 180), Image.Resampling.BOX), np.float64)
    assert np.abs(small - shrunk).mean() < 4


@pytest.mark.parametrize("setting", Setting)
@pytest.mark.parametrize("time_of_day", TimeOfDay)
def test_every_setting_has_light_and_depth_at_every_time_of_day(setting: Setting, time_of_day: TimeOfDay) -> None:
    levels = scene(setting, time_of_day).mean(axis=2)
    assert levels.std() > 10
    assert np.percentile(levels, 99.5) - np.percentile(levels, 0.5) > 60


@pytest.mark.parametrize("setting", [Setting.RIVER, Setting.CITY, Setting.INTERIOR])
@pytest.mark.parametrize("subject", [subject for subject in Subject if subject is not Subject.NONE])
def test_every_subject_is_there_and_in_the_middle_of_the_picture(setting: Setting, subject: Subject) -> None:
    recipe = Recipe(setting, TimeOfDay.DAY, Weather.CLEAR, subject, MOSS, 7)
    with_subject, without = (pixels_of(one) for one in (recipe, replace(recipe, subject=Subject.NONE)))
    apart = np.abs(with_subject - without).mean(axis=2) > 12
    columns = np.flatnonzero(apart.any(axis=0)) / apart.shape[1]
    middle = float(np.median(np.nonzero(apart)[1])) / apart.shape[1]
    assert columns.size
    assert 0.2 < middle < 0.8


def pixels_of(recipe: Recipe) -> NDArray[np.float64]:
    frame = next(compose(recipe, 320, 180).film([View()]))
    return frame.view(np.uint8).reshape(180, 320, 4)[..., :3].astype(np.float64)


@pytest.mark.parametrize("palette", [EMBER, TIDE, MOSS, PLUM])
@pytest.mark.parametrize("setting", [Setting.SEA, Setting.GARDEN, Setting.CITY])
def test_the_colours_are_those_of_the_palette(palette: tuple[str, str, str, str, str], setting: Setting) -> None:
    picture = pixels(draw(replace(REQUEST, palette=palette, prompt=f"{setting}, dusk")))
    distances = {other: distance_to(other, picture) for other in (EMBER, TIDE, MOSS, PLUM)}
    assert distances[palette] < 0.02
    assert min(distances, key=lambda other: distances[other]) == palette


def test_a_palette_of_pastels_still_gives_a_picture_with_depth() -> None:
    levels = pixels(draw(replace(REQUEST, palette=PASTELS))).mean(axis=2)
    assert levels.min() < 70
    assert levels.max() > 190


def test_the_words_of_the_prompt_decide_what_is_drawn() -> None:
    night, day = scene(Setting.SEA, TimeOfDay.NIGHT), scene(Setting.SEA, TimeOfDay.DAY)
    assert night.mean() + 50 < day.mean()
    clear, snow = scene(Setting.VILLAGE, TimeOfDay.DAY), scene(Setting.VILLAGE, TimeOfDay.DAY, Weather.SNOW)
    ground = slice(155, 175)
    assert clear[ground].mean() + 10 < snow[ground].mean()


@pytest.mark.parametrize("word", [*Setting, *TimeOfDay, *Weather, *Subject])
def test_every_word_of_the_vocabulary_is_understood(word: Any) -> None:
    assert first_named(type(word), f"Something with {word}, somewhere.") is word


def test_the_word_named_first_decides_and_parts_of_words_do_not() -> None:
    assert first_named(Setting, "A garden by the sea, near the city") is Setting.GARDEN
    assert first_named(Setting, "A seal, a parking citizen") is None


def test_what_the_prompt_leaves_open_is_chosen_by_the_request() -> None:
    open_requests = [replace(REQUEST, prompt="Something else entirely", take=take) for take in range(1, 25)]
    assert len({Recipe.of(request).setting for request in open_requests}) > 5
    assert Recipe.of(open_requests[0]) == Recipe.of(open_requests[0])


def test_the_file_carries_the_recipe_and_none_of_the_prompts_words() -> None:
    prompt = "Zanzibar and the unicorn, in a forest"
    image = Image.open(io.BytesIO(draw(replace(REQUEST, prompt=prompt, notes=("less Quetzalcoatl",))).data))
    texts = {key: value for key, value in image.info.items() if isinstance(value, str)}
    assert [json.loads(text)["setting"] for text in texts.values()] == [Setting.FOREST]
    assert not any(word in str(texts) for word in ("Zanzibar", "unicorn", "Quetzalcoatl"))
