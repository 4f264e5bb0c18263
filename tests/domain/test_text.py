"""How a story's text is told apart into blocks and sentences."""

# ruff: noqa: RUF001 - punctuation of many scripts; random texts, no secrets

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from downstream.domain.text import BlockKind, blocks, ends_sentence, is_clean_cut, sentence_starts

STORIES = Path(__file__).parents[1] / "stories"

LONG = "The boat came in under the wall and nobody on the quay looked up from the nets that lay there."

PROSE, DIALOGUE, VERSE, HEADING, BREAK = BlockKind


def kinds(text: str) -> list[BlockKind]:
    return [block.kind for block in blocks(text)]


def passages(text: str) -> list[str]:
    return [text[block.start : block.end] for block in blocks(text)]


def sentences(text: str) -> list[str]:
    bounds = [0, *sentence_starts(text, 0, len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\u2028"])
def test_blank_lines_part_paragraphs_whatever_ends_a_line(line_end: str) -> None:
    text = line_end.join([LONG, "", LONG, "  \t", LONG, ""])

    assert passages(text) == [LONG] * 3


def test_a_paragraph_separator_is_a_blank_line_by_itself() -> None:
    assert passages(f"{LONG}\u2029{LONG}") == [LONG, LONG]


def test_without_any_blank_line_each_line_is_a_paragraph() -> None:
    text = f"{LONG}\nIt rained.\n***\nIt stopped.\n{LONG}\n"

    assert passages(text) == [LONG, "It rained.", "***", "It stopped.", LONG]
    assert kinds(text) == [PROSE, PROSE, BREAK, PROSE, PROSE]


def test_blank_lines_only_around_the_breaks_leave_each_long_line_a_paragraph() -> None:
    text = f"{LONG} {LONG}\n{LONG}\nIt rained.\n\n***\n\n{LONG} {LONG}\n{LONG}"

    assert kinds(text) == [PROSE, PROSE, PROSE, BREAK, PROSE, PROSE]


def test_a_paragraph_wrapped_by_hand_is_one_block() -> None:
    wrapped = (
        "The boat came in under the wall, and nobody on the quay looked up\n"
        "from the nets that lay there, because nobody on the quay had been\n"
        "paid since the spring, and a boat was only a boat."
    )

    assert passages(f"{wrapped}\n\n{LONG}") == [wrapped, LONG]
    assert kinds(f"{wrapped}\n\n{LONG}") == [PROSE, PROSE]


@pytest.mark.parametrize(
    "line",
    [
        "“Come in,” she said.",
        '"Come in," she said.',
        "‘Come in,’ she said.",
        "'Come in,' she said. 'Don't stand there.'",
        "„Gyere be” – mondta.",
        "„Komm herein“, sagte sie.",
        "»Komm herein«, sagte sie.",
        "« Entrez », dit-elle.",
        "”Kom in”, sade hon.",
        "– Gyere be – mondta.",
        "— Entrez, dit-elle.",
        "―\u00a0Entrez, dit-elle.",
        "- Gyere be - mondta.",
        "—¿Quién es? —preguntó.",
        "「入って」と彼女は言った。",
        "『入って』",
        '\u200f"היכנס," אמרה.',
        "\ufeff“Come in,” she said.",
    ],
)
def test_a_line_that_opens_as_speech_is_dialogue(line: str) -> None:
    assert kinds(f"{LONG}\n\n{line}\n\n{LONG}") == [PROSE, DIALOGUE, PROSE]


@pytest.mark.parametrize(
    "line", ["-5 degrees.", "'Twas John's night.", "’Twas late.", "She said “no”.", "–that is all."]
)
def test_a_line_that_only_looks_like_speech_is_prose(line: str) -> None:
    assert kinds(f"{LONG}\n\n{line}\n\n{LONG}") == [PROSE] * 3


def test_speeches_on_lines_of_their_own_are_not_taken_for_a_verse() -> None:
    text = f"{LONG}\n\n– Ki az?\n– Én vagyok.\n– Gyere be.\n\n{LONG}"

    assert kinds(text) == [PROSE, DIALOGUE, DIALOGUE, DIALOGUE, PROSE]


def test_short_lines_kept_together_are_a_verse() -> None:
    verse = "Bark to bark and green to green,\nlet no daylight in between."

    assert kinds(f"{LONG}\n\n{verse}\n\n{LONG}") == [PROSE, VERSE, PROSE]
    assert verse in passages(f"{LONG}\n\n{verse}\n\n{LONG}")


def test_a_quoted_verse_stays_a_verse() -> None:
    assert kinds(f"{LONG}\n\n“The tide comes in,\nthe tide goes out.”\n\n{LONG}") == [PROSE, VERSE, PROSE]


@pytest.mark.parametrize(
    "heading", ["Bevezető", "1. cikk", "Chapter 2", "CHAPTER IV.", "II.", "3", "The Long Way Home", "第一章"]
)
def test_a_short_line_alone_before_a_longer_block_is_a_heading(heading: str) -> None:
    assert kinds(f"{LONG}\n\n{heading}\n\n{LONG}\n\n{LONG}") == [PROSE, HEADING, PROSE, PROSE]


@pytest.mark.parametrize(
    "line", ["He left.", "What did he see?", "and so it was", "Dear Anna,", "He said:", "So did I.", "It was then —"]
)
def test_a_short_line_that_ends_or_goes_on_is_no_heading(line: str) -> None:
    assert HEADING not in kinds(f"{LONG}\n\n{line}\n\n{LONG}")


def test_nothing_is_a_heading_with_nothing_below_it() -> None:
    assert kinds(f"{LONG}\n\nThe End") == [PROSE, PROSE]
    assert kinds(f"{LONG}\n\nThe End\n\n***\n\n{LONG}") == [PROSE, PROSE, BREAK, PROSE]


def test_title_author_and_chapter_may_head_a_text_together() -> None:
    assert kinds(f"The Long Way\n\nA Story\n\nChapter 1\n\n{LONG}") == [HEADING, HEADING, HEADING, PROSE]


def test_a_sign_set_line_by_line_is_not_taken_for_headings() -> None:
    text = (STORIES / "the-selfish-giant.txt").read_text("utf-8")

    sign = [
        block.kind
        for block in blocks(text)
        if text[block.start : block.end] in {"TRESPASSERS", "WILL BE", "PROSECUTED"}
    ]

    assert sign == [PROSE, PROSE, PROSE]
    assert HEADING not in kinds(text)


def test_the_articles_of_a_declaration_are_headings() -> None:
    text = (STORIES / "emberi-jogok.hu.txt").read_text("utf-8")

    headings = [text[block.start : block.end] for block in blocks(text) if block.kind is HEADING]

    assert headings == [
        "Az Emberi Jogok Egyetemes Nyilatkozata",
        "Bevezető",
        *(f"{number}. cikk" for number in range(1, 31)),
    ]


def test_a_language_without_full_stops_has_no_headings_by_shape_alone() -> None:
    paragraph = "เขาเดินออกไปจากบ้านตั้งแต่เช้ามืด และไม่มีใครเห็นเขาอีกเลยจนกระทั่งฤดูฝนปีถัดไป"
    text = f"{paragraph}\n\nเขากลับมา\n\n{paragraph}\n\nบทที่ 2\n\n{paragraph}"

    assert kinds(text) == [PROSE, PROSE, PROSE, HEADING, PROSE]


@pytest.mark.parametrize(
    "mark", ["***", "* * *", "---", "—", "~", "§", "#", "⁂", "❦", "• • •", "___", ". . .", "＊　＊　＊", "◇"]
)
def test_ornaments_alone_are_a_break(mark: str) -> None:
    assert kinds(f"{LONG}\n\n{mark}\n\n{LONG}") == [PROSE, BREAK, PROSE]


@pytest.mark.parametrize("line", ["...", "…", "?!", "3", "“…”", "No."])
def test_a_speechless_line_is_not_a_break(line: str) -> None:
    assert BREAK not in kinds(f"{LONG}\n\n{line}\n\n{LONG}")


def test_an_empty_text_has_no_blocks() -> None:
    assert blocks("") == ()
    assert blocks(" \r\n\u00a0\u2028\n ") == ()


@pytest.mark.parametrize("seed", range(40))
def test_between_blocks_of_any_text_there_is_only_white_space(seed: int) -> None:
    random = Random(seed)
    atoms = [
        "word",
        "Word.",
        "“",
        "”",
        "—",
        " ",
        " ",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\u2028",
        "\u2029",
        "\u00a0",
        "***",
        "猫。",
        "ก\u0e48",
        "1.",
        "\t",
    ]
    text = "".join(random.choices(atoms, k=300))

    found = blocks(text)

    bounds = [0, *(edge for block in found for edge in (block.start, block.end)), len(text)]
    assert bounds == sorted(bounds)
    assert not any(text[end:start].strip() for end, start in zip(bounds[::2], bounds[1::2], strict=True))
    assert all(passage and passage == passage.strip() for passage in passages(text))


@pytest.mark.parametrize("unit", [" ", "\n", "\r\n", '"', "a", ".", "*"])
def test_ten_megabytes_of_one_thing_take_linear_time(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))

    started = time.process_time()
    blocks(text)
    sum(1 for _ in sentence_starts(text, 0, len(text)))

    assert time.process_time() - started < 10


@pytest.mark.parametrize("unit", ['."', "'a", "' ,'", "—", "…”", "\u2029", " \n", "1.", "\U0001f1ed"])
def test_a_megabyte_of_stranger_things_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))

    started = time.process_time()
    blocks(text)
    sum(1 for _ in sentence_starts(text, 0, len(text)))

    assert time.process_time() - started < 5


@pytest.mark.parametrize("unit", ['"\n', "Ab cd.\n", "Ab cd.\n\n", "Ab\n\n", "***\n", "– a\n"])
def test_many_small_blocks_take_linear_time(unit: str) -> None:
    def seconds(repeats: int) -> float:
        started = time.process_time()
        blocks(unit * repeats)
        return time.process_time() - started

    assert seconds(40_000) < 12 * max(seconds(10_000), 0.02)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It rained. He left! Did he? No… Yes.", ["It rained. ", "He left! ", "Did he? ", "No… ", "Yes."]),
        ("“Go!” she said. He went.", ["“Go!” she said. ", "He went."]),
        (
            "He met Mr. Hill and J. Smith on 3. May. It rained.",
            ["He met Mr. Hill and J. Smith on 3. May. ", "It rained."],
        ),
        ("雨が降った。彼は去った！本当？", ["雨が降った。", "彼は去った！", "本当？"]),
        ("「行け。」と彼女は言った。彼は去った。", ["「行け。」と彼女は言った。", "彼は去った。"]),
        ("वह गया। वह आया। अंत", ["वह गया। ", "वह आया। ", "अंत"]),
        ("وہ گیا۔ وہ آیا۔ کیوں؟ بس", ["وہ گیا۔ ", "وہ آیا۔ ", "کیوں؟ ", "بس"]),
        ("የሄደ። መጣ።", ["የሄደ። ", "መጣ።"]),
        ("One sentence without an end", ["One sentence without an end"]),
    ],
)
def test_sentences_begin_where_the_script_ends_them(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("e\u0301", 1),
        ("👩\u200d🚀", 1),
        ("👩\u200d🚀", 2),
        ("👍🏽", 1),
        ("🇭🇺", 1),
        ("ก\u0e48", 1),
        ("เก", 1),
        ("क\u094dष", 2),
        ("\r\n", 1),
        ("\u1112\u1161", 1),
        ("❤\ufe0f", 1),
    ],
)
def test_no_character_is_torn_apart(text: str, whole: int) -> None:
    assert not is_clean_cut(text, whole)
    assert is_clean_cut(text, 0)
    assert is_clean_cut(text, len(text))


def test_between_plain_letters_a_cut_is_clean() -> None:
    assert is_clean_cut("ab", 1)
    assert is_clean_cut("猫犬", 1)
    assert is_clean_cut("한글", 1)


def test_a_finished_sentence_is_told_from_an_unfinished_one() -> None:
    assert ends_sentence("He left.”\n")
    assert ends_sentence("彼は去った。」")
    assert not ends_sentence("He left,")
    assert not ends_sentence("PROSECUTED")
