"""What has to be put right before an order can be taken."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.datastructures import MultiDict

from downstream.domain.job import Job
from downstream.domain.order import Agreement, Typed
from downstream.domain.story import Story, check_length
from downstream.web.form import MOST_CHARACTERS, language_of, problems, read_form, words_of
from downstream.web.upload import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def typed(filled: dict[str, Any]) -> Callable[..., Typed]:
    def make(**changes: Any) -> Typed:
        return read_form(MultiDict(filled | changes))

    return make


def test_a_form_in_which_nothing_is_wrong_makes_the_records_of_an_order(typed: Callable[..., Typed]) -> None:
    form = typed()

    assert problems(form) == {}
    check_length(Story(id="s", title=form.title, language=language_of(form), text=form.text))
    assert Job(stream_id="s", customer_email=form.email).customer_email == "reader@example.com"


def test_an_empty_form_says_everything_that_is_missing_in_the_order_of_the_page() -> None:
    assert list(problems(Typed())) == ["title", "text", "email", *Agreement]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("title", "", "needs a title"),
        ("title", "   ", "needs a title"),
        ("title", "One line\nand another", "one line"),
        ("title", "One line\u2028and another", "one line"),
        ("title", "t" * 201, "at most 200"),
        ("title", "A bell\x07", "control character U+0007"),
        ("text", "", "missing"),
        ("text", " \n \n", "missing"),
        ("text", "word " * 799, "799 words; we need at least 800"),
        ("text", "word", "1 word; we need at least 800"),
        ("text", "word " * 3501, "3,501 words; we take at most 3,500"),
        ("text", "word " * 900 + "\x00", "control character U+0000"),
        ("text", "w" * (MAX_CHARACTERS + 1), "too long: at most 400,000 characters"),
        ("language", "not a language!", "from the list"),
        ("tone", "t" * 301, "at most 300"),
        ("references", "Escape\x1b", "control character U+001B"),
        ("notes", "n" * 2001, "at most 2,000"),
        ("email", "", "need an e-mail address"),
        ("email", "nobody", "not an e-mail address"),
        ("email", "a@b@c.example", "not an e-mail address"),
        ("email", "a@example.com\nBcc: all@example.com", "not an e-mail address"),
        ("email", "a@example.com\r\nSubject: x", "not an e-mail address"),
        ("email", "Somebody <a@example.com>", "not an e-mail address"),
        ("email", "a" * 250 + "@example.com", "not an e-mail address"),
    ],
)
def test_what_is_wrong_is_said_about_its_field_alone(
    typed: Callable[..., Typed], field: str, value: str, said: str
) -> None:
    found = problems(typed(**{field: value}))

    assert list(found) == [field]
    assert said in found[field]


def test_800_and_3500_words_are_taken(typed: Callable[..., Typed]) -> None:
    assert problems(typed(text="word " * 800)) == {}
    assert problems(typed(text="word " * 3500)) == {}


def test_length_is_counted_as_the_language_counts(typed: Callable[..., Typed]) -> None:
    chinese = typed(text="字" * 1600, language="zh-Hans")

    assert words_of(chinese) == 800
    assert problems(chinese) == {}
    assert "799 words" in problems(typed(text="字" * 1598, language="zh-Hans"))["text"]


def test_a_language_that_nobody_chose_is_found_in_the_text(typed: Callable[..., Typed]) -> None:
    assert language_of(typed(language="")) == "en"
    assert language_of(typed(language="hu")) == "hu"


@pytest.mark.parametrize("agreement", list(Agreement))
def test_every_agreement_is_needed(typed: Callable[..., Typed], agreement: Agreement) -> None:
    given = [one.value for one in Agreement if one is not agreement]

    assert list(problems(typed(agreed=given))) == [agreement.value]


def test_only_known_agreements_are_kept(typed: Callable[..., Typed]) -> None:
    assert typed(agreed=["rights", "everything", "rights"]).agreed == ("rights",)


def test_line_ends_become_line_feeds_and_the_text_is_otherwise_as_typed(typed: Callable[..., Typed]) -> None:
    assert typed(text="  One\r\nTwo\rThree \n").text == "  One\nTwo\nThree \n"


def test_nothing_endless_is_kept(typed: Callable[..., Typed]) -> None:
    form = typed(**dict.fromkeys(MOST_CHARACTERS, "x" * 1_000_000))

    assert len(form.text) == MAX_CHARACTERS + 1
    assert all(len(getattr(form, name)) <= 4000 for name in MOST_CHARACTERS if name != "text")


def test_no_input_whatever_makes_it_fail(typed: Callable[..., Typed]) -> None:
    dice = random.Random(4)
    characters = ["a", " ", "\n", "\0", "\ud800", "\uffff", "字", "ก", "\u202e", "<", "{{", "@", "\U0001f600", "-"]

    for _ in range(300):
        values = {name: "".join(dice.choices(characters, k=dice.randrange(60))) for name in MOST_CHARACTERS}
        found = problems(read_form(MultiDict([*values.items(), ("agreed", dice.choice(characters))])))
        assert found
        assert all(sentence.endswith(".") for sentence in found.values())
