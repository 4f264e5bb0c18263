"""How languages count and run."""

# ruff: noqa: RUF001 - punctuation of many scripts

from __future__ import annotations

import time

import pytest

from downstream.domain.language import count_words, text_direction


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("", "en", 0),
        ("   \n\t ", "en", 0),
        ("The boat came in.", "en", 4),
        ("It’s a rock-and-roll night, isn't it?", "en", 6),
        ("„Jó reggelt” – mondta a lány.", "hu", 5),
        ("in 1984 or 3.14", "en", 4),
        ("हिन्दी भाषा में", "hi", 3),
        ("שָׁלוֹם עוֹלָם", "he", 2),
        ("كتابٌ جميلٌ", "ar", 2),
        ("한국어는 띄어쓰기를 한다.", "ko", 3),
    ],
)
def test_spaced_scripts_are_counted_by_their_words(text: str, language: str, words: int) -> None:
    assert count_words(text, language) == words


@pytest.mark.parametrize("text", ["—", "***", "* * *", "– – –", "…", "« »", "___", "“ ”", "。、！", "\u0301"])
def test_punctuation_alone_is_no_word(text: str) -> None:
    assert count_words(text, "en") == 0


def test_a_dash_without_spaces_parts_words() -> None:
    assert count_words("he came—and went…again", "en") == 5


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("吾輩は猫である", "ja", 4),  # 7 characters, two to a word
        ("吾輩は猫である。名前はまだ無い。", "ja", 7),  # 14 characters; punctuation does not count
        ("今天天气很好", "zh", 3),
        ("ｶﾞｷﾞ", "ja", 1),  # half-width voice marks are marks
        ("สวัสดีครับ", "th", 2),  # 7 letters without their marks, five to a word
        ("ສະບາຍດີ", "lo", 2),
        ("សួស្តី", "km", 1),
        ("မင်္ဂလာပါ", "my", 1),
    ],
)
def test_unspaced_scripts_are_counted_by_their_letters(text: str, language: str, words: int) -> None:
    assert count_words(text, language) == words


def test_combining_marks_do_not_lengthen_a_text() -> None:
    assert count_words("กก" * 50, "th") == count_words("ก\u0e48ก\u0e34" * 50, "th") == 20


def test_the_script_decides_whatever_the_tag_says() -> None:
    japanese = "吾輩は猫である。" * 100

    assert count_words(japanese, "en") == count_words(japanese, "ja") == 350


def test_a_mixed_text_counts_each_script_its_own_way() -> None:
    assert count_words("私はiPhoneを 2 台持つ", "ja") == 2 + 3  # iPhone and 2; six characters


def test_korean_keeps_its_spaces_when_written_with_chinese_characters() -> None:
    assert count_words("大韓民國의 憲法", "ko") == 2


@pytest.mark.parametrize("unit", [" ", "a", "猫", "a猫", "a—"])
def test_ten_megabytes_are_counted_in_linear_time(unit: str) -> None:
    text = unit * (10_000_000 // len(unit.encode()))

    started = time.process_time()
    count_words(text, "en")

    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "language", ["ar", "fa", "he", "iw", "ur", "yi", "dv", "ps", "ckb", "AR-eg", "az-Arab", "pa-Arab-PK", "ff-Adlm"]
)
def test_tags_of_right_to_left_languages_and_scripts_say_rtl(language: str) -> None:
    assert text_direction(language) == "rtl"


@pytest.mark.parametrize(
    "language", ["en", "hu", "ja", "uz-Latn", "az-Cyrl", "ar-Latn", "ku-Latn-TR", "en-x-arab", "und"]
)
def test_other_tags_say_ltr(language: str) -> None:
    assert text_direction(language) == "ltr"


def test_the_tag_is_stronger_than_the_text() -> None:
    assert text_direction("en", "שלום said the sign.") == "ltr"
    assert text_direction("he", "Hello was on the sign.") == "rtl"


@pytest.mark.parametrize("language", ["und", "az", "uz", "ku", "mul"])
def test_where_the_tag_leaves_it_open_the_first_strong_character_decides(language: str) -> None:
    assert text_direction(language, "1. – «سلام» dedi") == "rtl"
    assert text_direction(language, "1. – «Salom» سلام") == "ltr"
    assert text_direction(language, "123 …") == "ltr"
