"""What a customer may hand in."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from downstream.domain.errors import PersonDecides
from downstream.domain.record import explain
from downstream.domain.story import MAX_WORDS, MIN_WORDS, Brief, Story, check_length
from downstream.sample import sample_story


def story(**fields: Any) -> Story:
    return Story.model_validate({"id": "a-story", "title": "A story", "language": "en", "text": "It rained.", **fields})


def test_the_least_a_story_needs_is_accepted() -> None:
    assert story().words == 2
    assert story().brief == Brief()


@pytest.mark.parametrize("language", ["en", "hu", "pt-BR", "zh-Hant-TW", "ckb", "de-CH-1996", "en-x-home"])
def test_language_tags_are_accepted(language: str) -> None:
    assert story(language=language).language == language


@pytest.mark.parametrize("language", ["", "e", "english!", "en_US", "en-", "12", "en\n"])
def test_what_is_no_language_tag_is_refused(language: str) -> None:
    with pytest.raises(ValidationError):
        story(language=language)


@pytest.mark.parametrize("title", ["", "x" * 201, "a\x00b"])
def test_impossible_titles_are_refused(title: str) -> None:
    with pytest.raises(ValidationError):
        story(title=title)


@pytest.mark.parametrize(
    "character", ["\x00", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\ud800", "\ufdd0", "\uffff", "\U0001ffff"]
)
def test_what_no_page_can_show_is_refused_with_its_place_but_without_the_text(character: str) -> None:
    with pytest.raises(ValidationError) as raised:
        story(text=f"secret{character}words")

    assert explain(raised.value) == (
        f"text: has the control character U+{ord(character):04X} at position 6, which no page can show"
    )


@pytest.mark.parametrize("character", ["\t", "\n", "\r", "\u2028", "\ufeff", "\u200d", "\u200f", "\u00ad", "😀", "猫"])
def test_unusual_but_printable_characters_are_kept(character: str) -> None:
    assert story(text=f"a{character}b").text == f"a{character}b"


def test_a_brief_may_give_one_wish_where_several_are_possible() -> None:
    brief = story(brief={"tone": "quiet", "colors": ["#101820", "gold"]}).brief

    assert brief.tone == ("quiet",)
    assert brief.colors == ("#101820", "gold")
    assert brief.notes == ""


def test_unknown_fields_of_story_and_brief_are_written_back() -> None:
    given = story(brief={"tone": "quiet", "music": "none"}, campaign=7)

    again = Story.model_validate_json(given.to_json())

    assert again == given
    assert again.model_dump()["campaign"] == 7
    assert again.brief.model_dump()["music"] == "none"


@pytest.mark.parametrize("text", [7, None, ["It rained."]])
def test_a_text_of_the_wrong_type_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError):
        story(text=text)


@pytest.mark.parametrize(
    ("unit", "language", "per_unit"), [("word ", "en", 1), ("猫", "ja", 0.5), ("ก\u0e48", "th", 0.2)]
)
def test_only_lengths_we_sell_pass_in_any_script(unit: str, language: str, per_unit: float) -> None:
    shortest, longest = round(MIN_WORDS / per_unit), round(MAX_WORDS / per_unit)

    check_length(story(text=unit * shortest, language=language))
    check_length(story(text=unit * longest, language=language))
    with pytest.raises(PersonDecides, match="at least 800"):
        check_length(story(text=unit * round(shortest - 1 / per_unit), language=language))
    with pytest.raises(PersonDecides, match="at most 3500"):
        check_length(story(text=unit * (longest + 1), language=language))


def test_the_sample_is_a_story_we_could_sell() -> None:
    sample = sample_story("first-look")

    check_length(sample)
    assert sample.id == "first-look"
    assert 850 <= sample.words <= 950


def test_the_sample_takes_only_ids_a_folder_can_have() -> None:
    with pytest.raises(ValidationError):
        sample_story("../elsewhere")
