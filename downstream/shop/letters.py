"""The shop's letters to customers: the order is here, the bank did not pay, the money goes back."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from downstream.shop.agreements import WORDINGS
from downstream.steps.letters import PORTABLE, letter, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from email.message import EmailMessage

    from downstream.domain.money import Money
    from downstream.domain.order import Order
    from downstream.settings import Settings


_WHAT = (
    "You get a page made of your story. Its scenes move as one scrolls, and it has an address of its own. One revision "
    "is included."
)


def confirmation(settings: Settings, order: Order, title: str, to: str, status: str, at: datetime) -> EmailMessage:
    """The letter that confirms an order: what was bought, for how much, by when, and what was agreed."""
    paid = order.paid
    price = f"Paid: {paid.amount}." if paid else "This is a demo: nothing was paid, and a program draws the pictures."
    promise = f"We expect to send you the page by {_when(order.promised_by, settings)}." if order.promised_by else ""
    agreed = "\n".join(f"- {WORDINGS[consent.agreement]}" for consent in order.consents)
    paragraphs = [
        f"We have your order: {one_line(title)}",
        _WHAT,
        f"{price} {promise}".strip(),
        "How it is doing, and a button to withdraw as long as nothing has been started:",
        status,
        f"What you agreed to on {_when(order.ordered_at, settings)}:\n{agreed}" if agreed else "",
        "Keep the address above to yourself: whoever has it sees how the order is doing.",
        "\n".join(f"{name}:\n{address}" for name, address in settings.seller_pages.items()),
    ]
    subject = f"We have your order: {one_line(title)}"
    return _written(settings, to, subject, f"{order.stream_id}.confirmed", paragraphs, at)


def payment_failed(settings: Settings, order: Order, to: str, draft: str, session: str, at: datetime) -> EmailMessage:
    """The letter that says that a delayed payment did not come, and that nothing is lost."""
    paragraphs = [
        "Your bank did not carry out the payment for your story, so we have not begun.",
        "What you wrote is kept for some days. You can look at it, and pay in another way, here:",
        draft,
    ]
    name = f"{order.stream_id}.failed.{session}"
    return _written(settings, to, "Your payment did not arrive", name, paragraphs, at)


def refunded(settings: Settings, stream_id: str, to: str, amount: Money, at: datetime) -> EmailMessage:
    """The letter that says that the money is on its way back."""
    paragraphs = [
        f"We have given back {amount}. It reaches the account or card you paid with within some days.",
        "Your order is closed; nothing more is made of your story.",
        "Answer this mail if something is not as it should be.",
    ]
    return _written(settings, to, f"Your money is on its way back: {amount}", f"{stream_id}.refunded", paragraphs, at)


def _written(
    settings: Settings, to: str, subject: str, name: str, paragraphs: Sequence[str], at: datetime
) -> EmailMessage:
    kept = [paragraph for paragraph in paragraphs if paragraph]
    message = letter(settings.mail_from, to, subject, name, at)
    if settings.operator_email:
        message["Reply-To"] = settings.operator_email
    message.set_content("\n\n".join(kept) + "\n", cte=PORTABLE)
    shown = "\n".join(f"<p>{_html(paragraph)}</p>" for paragraph in kept)
    style = "font-family: Georgia, serif; font-size: 17px; line-height: 1.5; max-width: 34em"
    document = f'<!doctype html>\n<html lang="en"><body style="{style}">\n{shown}\n</body></html>\n'
    message.add_alternative(document, subtype="html", cte=PORTABLE)
    return message


def _html(paragraph: str) -> str:
    return "<br>\n".join(map(_html_line, paragraph.split("\n")))


def _html_line(line: str) -> str:
    """The line; where it is an address, a link. What a customer wrote never begins one."""
    shown = escape(line)
    return f'<a href="{shown}">{shown}</a>' if line.startswith(("https://", "http://")) else shown


def _when(moment: datetime | None, settings: Settings) -> str:
    if moment is None:
        return ""
    local = moment.astimezone(ZoneInfo(settings.timezone))
    return f"{local:%A}, {local.day} {local:%B %Y, %H:%M} ({local:%Z})"
