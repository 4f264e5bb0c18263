"""The letters that are sent: to a customer when the page is there, to the operator when somebody is needed."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from downstream.steps.page import KEEPSAKE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from downstream.domain.job import Job
    from downstream.domain.story import Story

LONGEST_SUBJECT = 78
JOINERS = "\u200c\u200d"
"""Invisible, but part of words in Persian and of many emoji."""
PORTABLE = "quoted-printable"
"""How bodies are sent: in ASCII and short lines, which every server passes on."""

_TEXT = """\
{news}

{address}

Open the link and scroll: the pictures move with your reading, forwards and back. Your words are exactly as you
wrote them.

To keep: the whole page as one file. Unpack it and open index.html; it needs no internet.
{zip}

{revision}

The pictures on the page are AI-made, and each is marked so.
"""

_HTML = """\
<!doctype html>
<html lang="en"><body style="font-family: Georgia, serif; font-size: 17px; line-height: 1.5; max-width: 34em">
<p>{news}</p>
<p style="font-size: 22px"><a href="{address}">{title}</a></p>
<p>Open the link and scroll: the pictures move with your reading, forwards and back. Your words are exactly as you
wrote them.</p>
<p>To keep: <a href="{zip}">the whole page as one file</a>. Unpack it and open index.html; it needs no internet.</p>
<p>{revision}</p>
<p style="color: #555">The pictures on the page are AI-made, and each is marked so.</p>
</body></html>
"""

_FIRST = "Your story is ready"
_AGAIN = "Your story has a new version, at the same address"
_REVISION = (
    "One revision is included. Answer this mail and say which scene should look or move differently, and how; your "
    "words stay as they are."
)
_NO_MORE = "Answer this mail if something is not as it should be."


def delivered_letter(
    job: Job, story: Story, address: str, *, number: int, sender: str, at: datetime, reply_to: str = ""
) -> EmailMessage:
    """The letter that tells the customer where the page is; ``number`` counts the deliveries of this order.

    Its Message-ID is made of the order and the number, so a duplicate can be recognised.
    """
    title = one_line(story.title)
    news = _FIRST if number == 1 else _AGAIN
    words = {
        "news": f"{news}: {title}",
        "title": title,
        "address": address,
        "zip": urljoin(address, KEEPSAKE),
        "revision": _REVISION if number == 1 else _NO_MORE,
    }
    html = words | {"news": f"{news}:"}
    message = letter(sender, job.customer_email, f"{news}: {title}", f"{job.stream_id}.delivered.{number}", at)
    if reply_to:
        message["Reply-To"] = reply_to
    message.set_content(_TEXT.format(**words), cte=PORTABLE)
    shown = _HTML.format(**{name: escape(word) for name, word in html.items()})
    message.add_alternative(shown, subtype="html", cte=PORTABLE)
    return message


def alert_letter(sentences: Sequence[str], *, sender: str, to: str, at: datetime, key: str) -> EmailMessage:
    """The letter that tells the operator what needs a person; ``key`` names it, so a duplicate can be recognised."""
    lines = [one_line(sentence) for sentence in sentences]
    subject = lines[0] if len(lines) == 1 else f"{len(lines)} things need you"
    message = letter(sender, to, f"DownStream: {subject}", key, at)
    message.set_content("\n\n".join(lines) + "\n", cte=PORTABLE)
    return message


def letter(sender: str, to: str, subject: str, name: str, at: datetime) -> EmailMessage:
    """A letter without words yet; ``name`` becomes its Message-ID, so a duplicate can be recognised."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = _shortened(subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{name}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def one_line(text: str) -> str:
    """The text with nothing in it that breaks a line or does not show."""
    return " ".join("".join(one if one.isprintable() or one in JOINERS else " " for one in text).split())


def _shortened(subject: str) -> str:
    return subject if len(subject) <= LONGEST_SUBJECT else f"{subject[: LONGEST_SUBJECT - 1].rstrip()}…"
