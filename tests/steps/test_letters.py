"""The letters: what a customer and the operator read, and what no story can do to them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.policy import SMTP
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Job
from downstream.domain.story import Story
from downstream.steps.letters import alert_letter, delivered_letter

if TYPE_CHECKING:
    from email.message import EmailMessage

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SENDER = "DownStream <stories@example.com>"
ADDRESS = "https://story-order.vercel.app"


def delivered(title: str = "The Selfish Giant", **changes: Any) -> EmailMessage:
    job = Job(stream_id="order", customer_email="reader@example.com")
    story = Story(id="order", title=title, language="en", text="Every afternoon.")
    asked = {"address": ADDRESS, "number": 1, "sender": SENDER, "at": AT} | changes
    return delivered_letter(job, story, **asked)


def parts(letter: EmailMessage) -> tuple[str, str]:
    """The text and the HTML, with their lines joined."""
    bodies = [letter.get_body((kind,)) for kind in ("plain", "html")]
    return tuple(" ".join(body.get_content().split()) for body in bodies if body)  # type: ignore[return-value]


class Elements(HTMLParser):
    """The names of a document's elements, and where its links lead."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str | None] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remembers it."""
        self.names.add(tag)
        self.links += [value for name, value in attrs if name == "href"]


def test_the_letter_says_where_the_page_is_and_where_the_one_to_keep() -> None:
    text, html = parts(delivered())

    assert f" {ADDRESS} " in text
    assert f" {ADDRESS}/story.zip " in text
    assert Elements(html).links == [ADDRESS, f"{ADDRESS}/story.zip"]


def test_the_page_to_keep_lies_beside_a_page_on_the_disk() -> None:
    text, _ = parts(delivered(address="file:///home/streams/order/public/index.html"))

    assert " file:///home/streams/order/public/story.zip " in text


@pytest.mark.parametrize("part", [0, 1])
def test_the_letter_says_that_the_pictures_are_ai_made_and_how_to_ask_for_a_revision(part: int) -> None:
    words = parts(delivered())[part]

    assert "AI-made" in words
    assert "One revision is included. Answer this mail" in words


def test_a_later_delivery_says_that_the_address_is_the_same_and_promises_no_other_revision() -> None:
    letter = delivered(number=2)

    text, _ = parts(letter)
    assert "new version, at the same address" in text
    assert "One revision" not in text
    assert str(letter["Subject"]).startswith("Your story has a new version")


def test_the_headers_are_those_of_a_letter_that_a_machine_wrote() -> None:
    letter = delivered(number=2, reply_to="operator@example.com")

    assert letter["To"] == "reader@example.com"
    assert letter["From"] == SENDER
    assert letter["Reply-To"] == "operator@example.com"
    assert letter["Message-ID"] == "<order.delivered.2@example.com>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"].datetime == AT
    assert delivered()["Reply-To"] is None


@pytest.mark.parametrize(
    "title",
    [
        "Giant\nBcc: victim@example.com",
        "Giant\r\n\r\nA body",
        "Giant\u2028Bcc: victim@example.com",
        "Giant\u202e\u200b\ufeff",
        "{address} {0} %s",
    ],
)
def test_a_title_stays_one_line_of_the_subject(title: str) -> None:
    letter = delivered(title)

    assert str(letter["Subject"]).isprintable()
    raw = letter.as_bytes(policy=SMTP)
    assert raw.count(b"\r\nSubject:") == 1
    assert b"\r\nBcc:" not in raw
    assert sorted(letter.keys()) == sorted(delivered("Giant").keys())


def test_a_title_keeps_the_joiners_its_language_needs() -> None:
    assert "👩\u200d🚀" in str(delivered("The 👩\u200d🚀")["Subject"])


def test_a_long_title_is_shortened_in_the_subject_only() -> None:
    letter = delivered("long " * 39 + "end")

    assert len(letter["Subject"]) <= 78
    assert str(letter["Subject"]).endswith("…")
    assert "long end" in parts(letter)[0]


def test_nothing_in_a_title_is_html() -> None:
    plain = Elements(parts(delivered())[1])

    shown = Elements(parts(delivered('<script>alert(1)</script><a href="https://evil.example">&amp;'))[1])

    assert (shown.names, shown.links) == (plain.names, plain.links)


def test_bodies_are_in_ascii_and_short_lines() -> None:
    raw = delivered("Az önző óriás " * 10).as_bytes(policy=SMTP)

    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 100


def alert(*sentences: str) -> EmailMessage:
    return alert_letter(sentences, sender=SENDER, to="operator@example.com", at=AT, key="alerts.2026-11-23.1")


def test_one_alert_is_its_own_subject() -> None:
    letter = alert("The Replicate account is out of credit: add credit\nat replicate.com")

    assert letter["Subject"] == "DownStream: The Replicate account is out of credit: add credit at replicate.c…"
    assert letter.get_content() == "The Replicate account is out of credit: add credit at replicate.com\n"


def test_several_alerts_are_counted() -> None:
    letter = alert("order failed", "the disk is full")

    assert letter["Subject"] == "DownStream: 2 things need you"
    assert letter.get_content() == "order failed\n\nthe disk is full\n"


def test_an_alert_can_be_recognised() -> None:
    letter = alert("order failed")

    assert letter["Message-ID"] == "<alerts.2026-11-23.1@example.com>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert (letter["To"], letter["Subject"]) == ("operator@example.com", "DownStream: order failed")
