"""Where the embedded director cuts when the evenest place is not the best."""

from __future__ import annotations

import pytest

from downstream.providers.embedded.cuts import stretches

PLAIN = "The boat came in under the wall and nobody on the steps looked up from the nets that lay there drying."
PAGE = "\n\n".join([PLAIN] * 8)


def halves(*middle: str, take: int = 1, language: str = "en") -> tuple[str, str]:
    """The two halves of a text whose evenest cut lies amid ``middle``."""
    text = "\n\n".join([PAGE, *middle, PAGE])
    first, second = stretches(text, language, 2, 2, take)
    assert first + second == text
    return first, second


def is_parted(before: str, after: str, *more: str) -> bool:
    first, second = halves(before, after, *more)
    return first.endswith(f"{before}\n\n") and second.startswith(after)


def test_two_plain_paragraphs_are_parted_at_the_evenest_place() -> None:
    assert is_parted(PLAIN, PLAIN)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("NO ENTRY", "BY ORDER"),
        ("And on the door somebody had written the following in chalk, in letters as tall as a child:", PLAIN),
        ("What did he see?", PLAIN),
        (PLAIN, "“Who is there?” said the man on the boat, and he said it as if he had been asked himself."),
        (PLAIN, "The tide comes in\nand leaves its ring of salt\non every step it climbs,\nand goes."),
        ("“Who is there?” said the man, who had not slept.", "“Nobody,” I said, and it was nearly true of me."),
        ("“Who is there?” said the man, who had not slept.", "I waited."),
        ("Chapter 2", PLAIN),
        (PLAIN, "***"),
    ],
    ids=["sign", "colon", "question", "speech", "verse", "exchange", "beat", "heading", "break"],
)
def test_what_belongs_together_stays_together(before: str, after: str) -> None:
    assert not is_parted(before, after, *(["“Nobody.”"] if after == "I waited." else []))


@pytest.mark.parametrize(
    "opening",
    [
        f"***\n\nNobody looked up. {PLAIN}",
        f"Chapter 2\n\n{PLAIN}",
        "One morning the boat was gone and nobody on the quay could say who had taken it or where it lay.",
        "We walked home on the road through the fields, past the mill and the last of the lights, and said little.",
    ],
    ids=["break", "heading", "turn", "place"],
)
def test_something_new_draws_the_cut_to_itself(opening: str) -> None:
    pages = "\n\n".join(["The harbour lay grey.", PAGE, opening, *[PLAIN] * 10])

    _, second = stretches(pages, "en", 2, 2)

    assert second.startswith(opening.removeprefix("***\n\n"))


def test_an_exchange_as_long_as_a_picture_is_not_parted_for_evenness_alone() -> None:
    exchange = "\n\n".join([f"“{PLAIN}”"] * 8)

    parts = stretches("\n\n".join([PLAIN, PAGE, exchange, PAGE, *[PLAIN] * 5]), "en", 4, 4)

    assert sum(exchange in part for part in parts) == 1


def test_a_long_exchange_may_be_parted_where_nothing_else_helps() -> None:
    speeches = [f"“{PLAIN}”"] * 20

    first, second = stretches("\n\n".join(speeches), "en", 2, 2)

    assert first == "\n\n".join(speeches[:10]) + "\n\n"
    assert second.startswith("“")


def test_a_verse_too_long_for_one_picture_is_parted_between_lines() -> None:
    verse = "\n".join(["The tide comes in", "and leaves its ring of salt"] * 30)

    first, second = stretches(f"{PLAIN}\n\n{verse}", "en", 4, 4)[1:3]

    assert first.endswith("\n")
    assert second.startswith(("The tide", "and leaves"))


@pytest.mark.parametrize(("opening", "closing"), ["“”", '""', "„“", "«»", "””"])
def test_a_cut_inside_a_paragraph_spares_quotations(opening: str, closing: str) -> None:
    speech = f"{opening}I will. You know it. Go. It is late. {'You heard me say it. ' * 4}Go home.{closing}"
    text = " ".join(["It rained all day.", speech] * 11)

    for piece in stretches(text, "en", 3, 3)[1:]:
        assert piece.startswith(("It rained", opening))


def test_one_sentence_without_an_end_is_cut_at_a_space() -> None:
    first, second = stretches("and on it went " * 100, "en", 2, 2)

    assert first.endswith(" ")
    assert abs(len(first) - len(second)) < 100


def test_more_pieces_than_places_to_cut_are_not_made() -> None:
    assert stretches("One.\n\nTwo.", "en", 5, 6) == ("One.\n\n", "Two.")


def test_another_take_may_cut_elsewhere() -> None:
    plans = {stretches("\n\n".join([PLAIN] * 37), "en", 5, 5, take) for take in range(1, 5)}

    assert len(plans) > 1
