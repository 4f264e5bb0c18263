"""The hosted page a customer pays at: plain HTML that works without scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from fakes.http_server import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
</head>
<body><main><h1>{title}</h1>{inside}</main></body>
</html>
"""
_OPEN = """<p>To pay: <strong id="amount">{amount}</strong></p><p id="email">{email}</p>
<form method="post"><p><button name="how" value="card">Pay</button></p>
<p><button name="how" value="delayed">Pay later by bank</button></p></form>
<p><a href="{back}">Back</a></p>"""


def page(session: Mapping[str, Any]) -> Answer:
    """The page of a session as it is now."""
    if session["status"] != "open":
        return _html(200, "Nothing to pay", f"<p>This payment page is {escape(session['status'])}.</p>")
    amount = f"{session['amount_total']} {session['currency']}, in its smallest unit"
    fields = {"amount": amount, "email": session["customer_email"] or "", "back": session["cancel_url"] or ""}
    return _html(200, "Payment", _OPEN.format(**{name: escape(text) for name, text in fields.items()}))


def missing_page() -> Answer:
    """There is no such session."""
    return _html(404, "Not found", "<p>There is nothing to pay here.</p>")


def onward(session: Mapping[str, Any]) -> Answer:
    """To where the shop thanks the customer."""
    address = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    return Answer(303, b"", {"location": address})


def _html(status: int, title: str, inside: str) -> Answer:
    text = _FRAME.format(title=title, inside=inside)
    return Answer(status, text.encode(), {"content-type": "text/html; charset=utf-8"})
