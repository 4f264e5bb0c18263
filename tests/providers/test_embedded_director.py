"""The plans the embedded director makes."""

# ruff: noqa: RUF001 - punctuation of many scripts; random texts, no secrets

from __future__ import annotations

import re
import time
from itertools import pairwise, product
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from model_tools import Books

from downstream.domain.ports import PlanRequest
from downstream.domain.production import MotionType, TextType, segment_count_range
from downstream.domain.story import Brief, Story
from downstream.domain.text import BlockKind, blocks, is_clean_cut
from downstream.providers.embedded.director import EmbeddedDirector
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather, first_named
from downstream.sample import sample_story

if TYPE_CHECKING:
    from downstream.domain.production import Production

STORIES = Path(__file__).parents[1] / "stories"
KINDS = (Setting, TimeOfDay, Weather, Subject)


def story(text: str, language: str = "en", **brief: Any) -> Story:
    return Story(id="a-story", title="A story", language=language, text=text, brief=Brief(**brief))


def giant(**brief: Any) -> Story:
    return story((STORIES / "the-selfish-giant.txt").read_text("utf-8"), **brief)


def declaration() -> Story:
    return story((STORIES / "emberi-jogok.hu.txt").read_text("utf-8"), "hu")


def plan(wanted: Story, take: int = 1) -> Production:
    return EmbeddedDirector().plan(PlanRequest(wanted, take), Books())


def texts(production: Production) -> list[str]:
    return [section.text for section in production.sections]


def openings(production: Production) -> list[str]:
    return [section.text.lstrip() for section in production.sections]


def named(prompt: str) -> tuple[Any, ...]:
    return tuple(first_named(kind, prompt) for kind in KINDS)


def paragraphs(count: int, words: int, seed: int = 1) -> str:
    """A story of ``count`` paragraphs of about ``words`` words."""
    random = Random(seed)
    vocabulary = re.findall("[a-z]+", "the boat came under a wall and nobody looked up from what lay there")

    def sentence() -> str:
        return " ".join(random.choices(vocabulary, k=12)).capitalize() + "."

    return "\n\n".join(" ".join(sentence() for _ in range(words // 12)) for _ in range(count))


REAL = pytest.mark.parametrize(
    "wanted", [sample_story("sample"), giant(), declaration()], ids=["sample", "giant", "declaration"]
)
TAKES = pytest.mark.parametrize("take", [1, 2, 3, 4])


@REAL
@TAKES
def test_sections_are_exact_spans_and_segments_as_many_as_the_length_asks_for(wanted: Story, take: int) -> None:
    production = plan(wanted, take)
    fewest, most = segment_count_range(wanted.words)

    assert "".join(texts(production)) == wanted.text
    assert fewest <= len(production.segments) <= most
    assert all(text.strip() for text in texts(production))


@REAL
@TAKES
def test_sections_are_balanced(wanted: Story, take: int) -> None:
    lengths = [len(text.split()) for text in texts(plan(wanted, take))]

    assert max(lengths) <= 2.0 * sum(lengths) / len(lengths)
    assert min(lengths) >= 0.4 * sum(lengths) / len(lengths)


@REAL
@TAKES
def test_no_paragraph_verse_or_exchange_of_the_real_stories_is_split(wanted: Story, take: int) -> None:
    found = blocks(wanted.text)
    starts = {block.start: index for index, block in enumerate(found)}
    position = 0

    for text in texts(plan(wanted, take))[:-1]:
        position += len(text)
        index = starts[position]
        assert {found[index - 1].kind, found[index].kind} != {BlockKind.DIALOGUE}
        assert found[index - 1].kind is not BlockKind.HEADING
        assert found[index].kind is not BlockKind.BREAK


@REAL
def test_the_same_request_is_the_same_plan(wanted: Story) -> None:
    assert plan(wanted).to_json() == plan(wanted).to_json()


@REAL
def test_another_take_is_another_plan_of_the_same_text(wanted: Story) -> None:
    first, second = plan(wanted), plan(wanted, take=2)

    assert [one.image_prompt for one in first.segments] != [one.image_prompt for one in second.segments]
    assert second.input == first.input


def test_the_sign_in_the_garden_stays_in_one_piece_beside_its_wall() -> None:
    for take in range(1, 7):
        (holder,) = [text for text in texts(plan(giant(), take)) if "TRESPASSERS" in text]

        assert "notice-board.\n\nTRESPASSERS\n\nWILL BE\n\nPROSECUTED\n\nHe was a very selfish Giant." in holder


def test_a_question_is_not_parted_from_its_answer() -> None:
    (holder,) = [text for text in texts(plan(giant())) if "What did he see?" in text]

    assert "He saw a most wonderful sight." in holder


def test_new_scenes_of_the_story_begin_new_sections() -> None:
    beginnings = tuple(openings(plan(giant())))

    assert any(one.startswith("Then the Spring came") for one in beginnings)
    assert any(one.startswith("One winter morning") for one in beginnings)


def test_the_scene_break_ends_a_section_and_never_opens_one() -> None:
    production = plan(sample_story("sample"))

    assert any(text.endswith("* * *\n\n") for text in texts(production))
    assert not any(opening.startswith("*") for opening in openings(production))


def test_headings_open_their_sections_and_name_them() -> None:
    production = plan(declaration())

    assert production.sections[0].title == "Az Emberi Jogok Egyetemes Nyilatkozata · Bevezető"
    assert all(re.fullmatch(r"[0-9]+\. cikk", section.title) for section in production.sections[1:])
    assert all(section.text.startswith(section.title) for section in production.sections[1:])


def test_sections_without_a_heading_are_named_by_their_first_words() -> None:
    assert plan(giant()).sections[0].title == "Every afternoon, as they were coming…"


def test_five_chapters_become_five_sections() -> None:
    chapters = [f"Chapter {number}\n\n{paragraphs(2, 100, number)}" for number in range(1, 6)]

    production = plan(story("\n\n".join(chapters)))

    assert [section.title for section in production.sections] == [f"Chapter {number}" for number in range(1, 6)]


def test_scenes_between_breaks_become_sections() -> None:
    production = plan(story("\n\n* * *\n\n".join(paragraphs(3, 60, seed) for seed in range(5))))

    assert len(production.sections) == 5
    assert all(text.endswith("* * *\n\n") for text in texts(production)[:-1])


def test_a_verse_is_kept_whole() -> None:
    verse = "\n".join(["The tide comes in", "and leaves its ring of salt", "on every step it climbs", "and goes."] * 3)
    text = "\n\n".join([paragraphs(3, 100, 1), verse, paragraphs(3, 100, 2), verse, paragraphs(3, 100, 3)])

    for take in (1, 2, 3):
        assert sum(section.count(verse) for section in texts(plan(story(text), take))) == 2


def test_an_exchange_of_speeches_is_kept_whole() -> None:
    exchange = "“Who is there?”\n\n“Nobody,” I said.\n\nHe waited.\n\n“Then come in,” he said.\n\n“No.”"
    text = "\n\n".join(f"{paragraphs(2, 80, seed)}\n\n{exchange}" for seed in range(6))

    for take in (1, 2, 3):
        assert sum(section.count(exchange) for section in texts(plan(story(text), take))) == 6


def test_a_story_of_only_dialogue_is_cut_between_speeches() -> None:
    text = "\n\n".join(f"“{paragraphs(1, 24, seed)}”" for seed in range(60))

    production = plan(story(text))

    lengths = [len(section) for section in texts(production)]
    assert 6 <= len(production.sections) <= 8
    assert max(lengths) <= 1.5 * sum(lengths) / len(lengths)
    assert all(opening.startswith("“") for opening in openings(production))


def test_one_giant_paragraph_is_cut_at_sentence_ends() -> None:
    text = " ".join(paragraphs(20, 60).split("\n\n"))

    production = plan(story(text))

    lengths = [len(section) for section in texts(production)]
    assert 5 <= len(lengths) <= 6
    assert max(lengths) <= 1.5 * sum(lengths) / len(lengths)
    assert all(section.rstrip().endswith(".") for section in texts(production))


def test_a_cut_inside_a_paragraph_leaves_quotations_whole() -> None:
    sentence = "“I will not. You know it. Go home,” she said. "
    text = sentence * 110

    assert all(opening.startswith("“I will not.") for opening in openings(plan(story(text.strip()))))


@pytest.mark.parametrize(
    ("unit", "language", "ends"),
    [
        ("古い港に船が入ってきた。誰も網から顔を上げなかった。", "ja", "。"),
        ("「行け。」と彼女は言った。彼は黙って去った。", "ja", "。"),
        ("دخل القارب إلى الميناء ولم يرفع أحد عينيه. ", "ar", "."),
        ("کشتی بندرگاہ میں آئی۔ کسی نے سر نہ اٹھایا۔ ", "ur", "۔"),
        ("הסירה נכנסה אל הנמל ואיש לא הרים את עיניו. ", "he", "."),
        ("नाव घाट पर आई। किसी ने सिर नहीं उठाया। ", "hi", "।"),
    ],
)
def test_one_paragraph_of_any_script_is_cut_where_its_sentences_end(unit: str, language: str, ends: str) -> None:
    wanted = story((unit * (1000 // story(unit, language).words)).strip(), language)

    production = plan(wanted)

    assert "".join(texts(production)) == wanted.text
    assert 5 <= len(production.sections) <= 6
    assert all(section.rstrip().endswith(ends) for section in texts(production))


def test_thai_without_full_stops_is_cut_at_spaces() -> None:
    text = ("เรือเข้ามาใต้กำแพง ไม่มีใครเงยหน้าขึ้นจากอวน เขาเดินกลับบ้าน " * 130).strip()

    production = plan(story(text, "th"))

    lengths = [len(section) for section in texts(production)]
    assert 5 <= len(lengths) <= 6
    assert max(lengths) <= 1.5 * sum(lengths) / len(lengths)
    assert all(section.endswith(" ") for section in texts(production)[:-1])


@pytest.mark.parametrize("unit", ["เรื่องน้ำ", "猫", "👩\u200d🚀🇭🇺", "क्षे", "e\u0301", "한"])
def test_a_text_without_any_place_to_cut_is_never_cut_inside_a_character(unit: str) -> None:
    text = unit * 2000

    production = plan(story(text, "und"))

    ends = [len("".join(texts(production)[:count])) for count in range(1, len(production.sections))]
    assert "".join(texts(production)) == text
    assert len(ends) >= 4
    assert all(is_clean_cut(text, end) for end in ends)


def test_windows_line_ends_are_kept_and_cut_like_others() -> None:
    text = sample_story("sample").text

    plain, windows = plan(story(text)), plan(story(text.replace("\n", "\r\n")))

    assert [section.replace("\r\n", "\n") for section in texts(windows)] == texts(plain)


@pytest.mark.parametrize("text", ["Hello.", "", " \n ", "***", "One.\n\nTwo.", "猫"])
def test_a_text_too_short_for_its_segments_lets_a_section_play_several(text: str) -> None:
    production = plan(story(text))

    assert "".join(texts(production)) == text
    assert len(production.segments) == 5
    assert [one for section in production.sections for one in section.segment_ids] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("seed", range(40))
def test_any_text_becomes_a_whole_plan(seed: int) -> None:
    random = Random(seed)
    words = ["word", "Word.", "said.", "猫。", "ก\u0e48", "e\u0301", "🇭🇺", "Chapter 2", "***", *"“”„«»「」–—"]
    spaces = [" ", " ", " ", "\n", "\n\n", "\r\n\r\n", "\u2028", "\u2029", "\u00a0", "\t", ""]
    text = "".join(random.choice(words) + random.choice(spaces) for _ in range(random.randrange(1500)))
    wanted = story(text, random.choice(["en", "hu", "ja", "th", "ar", "und"]))

    production = plan(wanted, take=random.randrange(1, 4))

    fewest, most = segment_count_range(wanted.words)
    assert "".join(texts(production)) == text
    assert fewest <= len(production.segments) <= most
    assert all(is_clean_cut(text, len("".join(texts(production)[:count]))) for count in range(len(production.sections)))


@pytest.mark.parametrize("whole", [paragraphs(35, 100), paragraphs(290, 12), paragraphs(1, 3500), "ก" * 17_500])
def test_the_longest_story_is_planned_at_once(whole: str) -> None:
    wanted = story(whole)

    started = time.process_time()
    plan(wanted)

    assert time.process_time() - started < 1.5


def test_text_types_follow_what_a_section_holds() -> None:
    verse = "\n\n".join("\n".join(["The tide comes in"] * 8) for _ in range(60))

    kinds = {section.text_type for section in plan(sample_story("sample")).sections}

    assert kinds == {TextType.PROSE, TextType.PROSE_WITH_DIALOGUE}
    assert {section.text_type for section in plan(story(verse)).sections} == {TextType.POETRY}
    assert {section.text_type for section in plan(story(paragraphs(12, 80))).sections} == {TextType.PROSE}


@REAL
@TAKES
def test_prompts_name_one_scene_in_the_painters_words(wanted: Story, take: int) -> None:
    for one in plan(wanted, take).segments:
        assert None not in named(one.image_prompt)
        assert named(one.image_prompt) == named(one.narrative)


def test_pictures_of_the_sample_follow_its_words() -> None:
    scenes = [named(one.image_prompt) for one in plan(sample_story("sample")).segments]

    assert scenes[0] == (Setting.GARDEN, TimeOfDay.DUSK, Weather.SNOW, Subject.TREE)
    assert (Setting.SEA, TimeOfDay.DAWN, Weather.FOG) in [scene[:3] for scene in scenes]
    assert scenes[-1] == (Setting.LAKE, TimeOfDay.DAWN, Weather.CLEAR, Subject.BOAT)


def test_pictures_of_the_giant_follow_his_garden_through_the_seasons() -> None:
    scenes = [named(one.image_prompt) for one in plan(giant()).segments]

    assert sum(scene[0] is Setting.GARDEN for scene in scenes) >= len(scenes) - 2
    assert scenes[0][2:] == (Weather.PETALS, Subject.CHILDREN)
    assert scenes[1][2] is Weather.SNOW
    assert scenes[-1][2:] == (Weather.PETALS, Subject.CHILD)


@pytest.mark.parametrize(
    ("text", "language", "scene"),
    [
        ("A hajó éjjel ért a kikötőbe. Esett az eső.", "hu", (Setting.SEA, TimeOfDay.NIGHT, Weather.RAIN)),
        ("Am Morgen lag Nebel über dem Wald.", "de", (Setting.FOREST, TimeOfDay.DAWN, Weather.FOG)),
        ("Le soir, la neige tombait sur le village.", "fr", (Setting.VILLAGE, TimeOfDay.DUSK, Weather.SNOW)),
        ("Era de noche y llovía sobre la ciudad.", "es", (Setting.CITY, TimeOfDay.NIGHT, Weather.RAIN)),
        ("雪の夜、山を越えた。", "ja", (Setting.MOUNTAINS, TimeOfDay.NIGHT, Weather.SNOW)),
    ],
)
def test_scenes_are_read_in_other_languages_too(text: str, language: str, scene: tuple[Any, ...]) -> None:
    prompts = [one.image_prompt for one in plan(story("\n\n".join([text] * 200), language)).segments]

    assert all(named(prompt)[:3] == scene for prompt in prompts[:2])


def test_a_language_without_word_lists_gets_a_varied_but_connected_journey() -> None:
    scenes = [named(one.image_prompt) for one in plan(story(paragraphs(20, 100), "fi")).segments]

    settings = [scene[0] for scene in scenes]
    assert len(set(settings)) >= 3
    assert any(earlier is later for earlier, later in pairwise(settings))
    assert len(set(scenes)) == len(scenes)


@REAL
@TAKES
def test_no_two_pictures_show_the_very_same(wanted: Story, take: int) -> None:
    scenes = [named(one.image_prompt) for one in plan(wanted, take).segments]

    assert len(set(scenes)) == len(scenes)


@REAL
@TAKES
def test_nothing_is_painted_where_it_cannot_be(wanted: Story, take: int) -> None:
    for one in plan(wanted, take).segments:
        setting, _, _, subject = named(one.image_prompt)
        assert subject is not Subject.BOAT or setting in {Setting.SEA, Setting.LAKE, Setting.RIVER}
        assert setting is not Setting.INTERIOR or subject not in {Subject.TREE, Subject.HOUSE, Subject.BRIDGE}


def test_where_no_time_is_named_the_day_goes_on_and_never_back() -> None:
    order = list(TimeOfDay)
    for take, language in product(range(1, 5), ("fi", "pl")):
        times = [named(one.image_prompt)[1] for one in plan(story(paragraphs(20, 100), language), take).segments]

        assert all((order.index(later) - order.index(earlier)) % 4 <= 1 for earlier, later in pairwise(times))
        assert len(set(times)) >= 3


@REAL
@TAKES
def test_motion_opens_inwards_ends_at_rest_and_differs_from_picture_to_picture(wanted: Story, take: int) -> None:
    segments = plan(wanted, take).segments
    motions = [one.motion_type for one in segments]

    assert motions[0] is MotionType.PUSH_IN
    assert motions[-1] in {MotionType.PULL_BACK, MotionType.DRIFT}
    assert all(earlier is not later for earlier, later in pairwise(motions))
    assert segments[0].intensity > 0.8
    assert segments[-1].intensity < 0.2


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    "brief",
    [
        {},
        {"colors": "#123456"},
        {"colors": ["#fff", "#eee"]},
        {"colors": ["black"]},
        {"colors": ["pastel pink", "light blue"]},
        {"colors": ["teal", "rust", "cream", "charcoal", "sage", "gold", "navy", "red"]},
        {"colors": ["#101010", "#111111", "#121212", "#131313", "#141414"]},
        {"colors": ["#606060", "#707070", "#808080", "#909090", "#a0a0a0"]},
        {"colors": "whatever you like"},
        {"tone": ["noir"]},
        {"style": "dreamy"},
        {"tone": "melancholic"},
    ],
)
def test_a_palette_is_five_colours_dark_to_light_with_depth_and_light(brief: dict[str, Any]) -> None:
    palette = plan(giant(**brief)).visual_direction.palette

    lights = [luminance(colour) for colour in palette]
    assert len(set(palette)) == 5
    assert all(later > earlier - 0.03 for earlier, later in pairwise(lights))
    assert lights[0] < 0.06
    assert lights[-1] > 0.55


def test_colours_given_as_codes_are_kept_as_they_are() -> None:
    palette = plan(giant(colors=["#1b2a41", "warm sand (#d9b99b)", "#c0392b"])).visual_direction.palette

    assert {"#1b2a41", "#d9b99b", "#c0392b"} <= set(palette)


@pytest.mark.parametrize(
    ("english", "other"),
    [
        (["blue", "gold"], ["kék és arany"]),
        (["dark blue", "gold"], ["sötétkék, arany"]),
        (["dark blue", "cream"], ["dunkelblau", "creme"]),
        (["light green", "black"], ["hellgrün", "schwarz"]),
        (["pale green", "black"], ["világoszöld és fekete"]),
        (["red", "white"], ["rouge et blanc"]),
        (["red", "white"], ["rojo y blanco"]),
        (["midnight blue"], ["midnightblue"]),
    ],
)
def test_colour_words_of_several_languages_mean_the_same(english: list[str], other: list[str]) -> None:
    assert plan(giant(colors=english)).visual_direction.palette == plan(giant(colors=other)).visual_direction.palette


def test_without_colours_tone_words_and_then_the_story_set_the_mood() -> None:
    assert plan(giant(tone=["noir"])).visual_direction.palette != plan(giant()).visual_direction.palette
    assert plan(giant(tone=["noir"])).visual_direction.palette == plan(declaration_in("noir")).visual_direction.palette
    sea = story("The sea lay grey. The harbour slept by the ocean. " * 100)
    assert plan(sea).visual_direction.palette != plan(giant()).visual_direction.palette


def declaration_in(tone: str) -> Story:
    return story(declaration().text, "hu", tone=tone)


def test_the_brief_reaches_the_look_and_every_prompt() -> None:
    production = plan(
        giant(tone="wistful", style="charcoal drawing", references="old maps", notes="No castles, please.")
    )

    look = production.visual_direction
    assert "charcoal drawing" in look.aesthetic
    assert look.references == ("old maps",)
    assert look.texture
    assert look.unifying_elements
    assert look.avoid
    for one in production.segments:
        assert "charcoal drawing; wistful" in one.image_prompt
        assert "old maps" in one.image_prompt
        assert one.image_prompt.endswith("No castles, please.")
        assert look.palette[0] in one.image_prompt
        assert one.negative_prompt == ", ".join(look.avoid)


def test_a_brief_full_of_scenery_does_not_change_what_is_painted() -> None:
    plain = [named(one.image_prompt) for one in plan(giant(colors="#123456")).segments]
    loud = plan(giant(colors="#123456", style="moonlit seascapes, rain, boats in the city", notes="A forest at night."))

    assert [named(one.image_prompt) for one in loud.segments] == plain
