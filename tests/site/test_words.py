"""Our own few words, in the story's language."""

from __future__ import annotations

import pytest

from downstream.site.words import words_for


@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("hu", "hu"),
        ("HU-hu", "hu"),
        ("pt", "pt"),
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt"),
        ("zh", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("no", "nb"),
        ("iw", "he"),
        ("tlh", "en"),
    ],
)
def test_the_longest_known_tag_decides(language: str, found: str) -> None:
    assert words_for(language).language == found


@pytest.mark.parametrize(
    "language", ["en", "hu", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "ja", "zh", "ko", "ar", "he", "th"]
)
def test_a_good_many_languages_have_words_of_their_own(language: str) -> None:
    words = words_for(language)

    assert words.language == language
    assert all([words.made_with_ai, words.drawn_by_program, words.loading])
    assert language == "en" or words.made_with_ai != words_for("en").made_with_ai
