"""The letters a customer gets."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.domain.job import Job
    from downstream.domain.story import Story

_TEXT = """\
Your story is ready: {title}

{address}

Open the link and scroll: the pictures move with your reading, forwards and back. Your words are exactly as you
wrote them.

The pictures on the page are AI-made, and each is marked so.
"""

_HTML = """\
<!doctype html>
<html lang="en"><body style="font-family: Georgia, serif; font-size: 17px; line-height: 1.5; max-width: 34em">
<p>Your story is ready:</p>
<p style="font-size: 22px"><a href="{address}">{title}</a></p>
<p>Open the link and scroll: the pictures move with your reading, forwards and back. Your words are exactly as you
wrote them.</p>
<p style="color: #555">The pictures on the page are AI-made, and each is marked so.</p>
</body></html>
"""


def delivered_letter(job: Job, story: Story, address: str, *, number: int, sender: str, at: datetime) -> EmailMessage:
    """The letter that tells the customer where the page is; ``number`` counts the deliveries of this order.

    Its Message-ID is made of the order and the number, so a duplicate can be recognised.
    """
    title = " ".join(story.title.split())
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message = EmailMessage()
    message["From"] = sender
    message["To"] = job.customer_email
    message["Subject"] = f"Your story is ready: {title}"
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{job.stream_id}.delivered.{number}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_TEXT.format(title=title, address=address))
    message.add_alternative(_HTML.format(title=escape(title), address=escape(address)), subtype="html")
    return message
