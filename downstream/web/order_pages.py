"""The order form: from the first words typed to the payment page."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import TooManyRequests

from downstream.domain.errors import DownstreamError, PersonDecides
from downstream.domain.order import Typed
from downstream.domain.story import MAX_WORDS, MIN_WORDS
from downstream.log import where
from downstream.shop.agreements import WORDINGS
from downstream.shop.checkout import go_to_pay
from downstream.shop.drafts import Closed, begin, keep
from downstream.shop.orders import DRAFT_DAYS, TooManyDrafts
from downstream.shop.promise import promised_by
from downstream.shop.standing import Stage, standing
from downstream.web.form import MOST_CHARACTERS, counted, language_of, problems, read_form, words_of
from downstream.web.guards import Doing, is_secure
from downstream.web.language import LANGUAGES
from downstream.web.upload import MAX_UPLOAD_BYTES, Unusable, text_of
from downstream.web.words import moment, price_words

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from downstream.domain.order import Order
    from downstream.web.door import Door

COOKIE = "draft"
"""Leads a browser that closed the page back to its draft."""
ARRIVED = "arrived"
"""Tells the form's script which of the copies in its browser is on the disk here."""
CLOSED_SECONDS = 3600
"""When to look again whether a closed shop has opened."""
_SAMPLE_CHARACTERS = 4000
_EDITION = re.compile(r"[0-9a-z]{1,40}\Z")

# What a page says above the form. The first group is named in addresses, the second stands on answers to what could
# not be kept.
NOTICES = {
    "cancelled": "You came back without paying. Nothing was charged, and everything you typed is still here.",
    "unavailable": (
        "The payment service does not answer at the moment. Nothing was charged, and everything you typed is kept. "
        "Please try again in a few minutes."
    ),
    "refused": (
        "The payment page could not be opened for this order. Nothing was charged, and everything you typed is kept. "
        "Please look at the e-mail address; if it is right, try again later."
    ),
    "read": "This is the text of your file. Please look it over: what you see is what your page will show.",
}
NOT_KEPT = {
    "full": (
        "What you typed could not be saved just now, and nothing was charged. It still stands in this form: please "
        "keep the page open and try again in a few minutes."
    ),
    "often": (
        "You have saved very often in a short time, so this was not saved. It still stands in this form; please "
        "try again in a while."
    ),
    "closed": (
        "We take no new orders at the moment, so this was not saved. It still stands in this form; please keep "
        "the page open, or keep your text elsewhere, and come back later."
    ),
}


class OrderPages:
    """The pages on which an order is typed."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._shop = door.shop

    def start(self) -> AnyResponse:
        """``GET /``: an empty form, or the way back to the draft that this browser began."""
        secret = "" if "new" in request.args else request.cookies.get(COOKIE, "")
        if secret and self._is_living(secret):
            return _to_draft(secret)
        response = self._page(Typed())
        if COOKIE in request.cookies:
            response.delete_cookie(COOKIE, path="/")
        return response

    def begin(self) -> AnyResponse:
        """``POST /``: what was typed is a draft."""
        return self._take(read_form(request.form), None)

    def show(self, secret: str) -> AnyResponse:
        """``GET /drafts/{secret}``: the form as it was typed; the status page, once somebody has paid."""
        order = self._door.order(secret)
        if standing(self._shop, order).stage is not Stage.DRAFT:
            return _to_order(secret)
        typed = order.typed or Typed()
        notice = next((NOTICES[name] for name in NOTICES if name in request.args), "")
        checked = "checked" in request.args
        return self._page(typed, order, problems(typed) if checked else {}, notice=notice, checked=checked)

    def change(self, secret: str) -> AnyResponse:
        """``POST /drafts/{secret}``: what was typed is kept, and paid for if that is wanted."""
        return self._take(read_form(request.form), self._door.order(secret))

    def detect(self) -> AnyResponse:
        """``POST /language``: the language that the text in the body is likely to be in."""
        self._door.visitors.count(Doing.DETECT)
        text = request.get_data().decode("utf-8", "replace")[:_SAMPLE_CHARACTERS]
        tag = language_of(Typed(text=text))
        return make_response({"tag": tag, "name": _name_of(tag)})

    def _take(self, typed: Typed, order: Order | None) -> AnyResponse:
        """What was typed is on the disk and the browser is sent on; or it is shown again, with the reason."""
        if order is None and not self._shop.is_open:
            return self._page(typed, None, notice=NOT_KEPT["closed"], status=503, wait_seconds=CLOSED_SECONDS)
        try:
            uploaded = self._uploaded()
            typed = typed.model_copy(update={"text": uploaded}) if uploaded is not None else typed
            wants_to_pay = request.form.get("then") == "pay" and uploaded is None and self._shop.is_open
            is_fine = wants_to_pay and not problems(typed)
            if is_fine:
                typed = typed.model_copy(update={"language": language_of(typed)})
            kept = self._keep(order, typed)
            response = self._pay(kept) if is_fine else _to_draft(kept.secret, "checked" if uploaded is None else "read")
        except Unusable as refusal:
            return self._page(typed, order, {"file": str(refusal)}, status=422)
        except TooManyRequests as refusal:
            return self._page(typed, order, notice=NOT_KEPT["often"], status=429, wait_seconds=_wait_seconds(refusal))
        except (OSError, TooManyDrafts) as error:
            self._log("web.not_kept", error)
            return self._page(typed, order, notice=NOT_KEPT["full"], status=503, wait_seconds=300)
        except Closed:
            return self._closed(order)
        self._remember(kept, response)
        return response

    def _closed(self, order: Order | None) -> AnyResponse:
        """The order's words stand: what was sent came too late, and is still in the browser that sent it."""
        page = render_template(
            "message.html",
            headline="This order is already on its way",
            sentence=(
                "It was paid for, or its payment is being confirmed, so it stays as it was when you went to pay. What "
                "you sent just now was not taken, and nothing more was charged."
            ),
            address=url_for("order", secret=order.secret) if order else url_for("start"),
            leads_to="See how it is doing",
        )
        return make_response(page, 409)

    def _uploaded(self) -> str | None:
        """The text of the file that was handed in; None when there was none."""
        file = request.files.get("file")
        data = file.read(MAX_UPLOAD_BYTES + 1) if file else b""  # enough to know that it is too large
        if file is None or not (file.filename or data):
            return None
        self._door.visitors.count(Doing.UPLOAD)
        return text_of(file.filename or "", data)

    def _keep(self, order: Order | None, typed: Typed) -> Order:
        if order is not None:
            self._door.visitors.count(Doing.SAVE)
            return keep(self._shop, order, typed)
        self._door.visitors.count(Doing.BEGIN)
        self._door.visitors.count(Doing.BEGIN_TODAY)
        begun = begin(self._shop, typed)
        self._shop.log.info("order.drafted", stream=begun.stream_id)
        return begun

    def _pay(self, order: Order) -> AnyResponse:
        """The browser is sent to the payment page; of a demo, to its status page."""
        try:
            address = go_to_pay(self._shop, order)
        except Closed:
            raise
        except PersonDecides as error:
            self._log("order.payment_refused", error, stream=order.stream_id)
            return _to_draft(order.secret, "refused")
        except DownstreamError as error:
            self._log("order.payment_unavailable", error, stream=order.stream_id)
            return _to_draft(order.secret, "unavailable")
        if self._shop.payments is None:
            self._door.after_change()
        return redirect(address, 303)

    def _log(self, event: str, error: Exception, **facts: str) -> None:
        self._shop.log.error(event, **facts, **where(error))

    def _is_living(self, secret: str) -> bool:
        try:
            order = self._door.find(secret)
        except TooManyRequests:
            return False
        return order is not None and order.ordered_at is None

    def _remember(self, order: Order, response: AnyResponse) -> None:
        response.set_cookie(
            COOKIE,
            order.secret,
            max_age=timedelta(days=DRAFT_DAYS),
            path="/",
            secure=is_secure(self._shop.settings),
            httponly=True,
            samesite="Lax",
        )
        edition = request.form.get("edition", "")
        if _EDITION.match(edition):
            response.set_cookie(ARRIVED, edition, path="/", secure=is_secure(self._shop.settings), samesite="Lax")

    def _page(
        self,
        typed: Typed,
        order: Order | None = None,
        found: dict[str, str] | None = None,
        *,
        notice: str = "",
        checked: bool = False,
        status: int = 200,
        wait_seconds: int = 0,
    ) -> Response:
        shop, now = self._shop, self._shop.clock()
        language = language_of(typed) if typed.text.strip() else ""
        page = render_template(
            "form.html",
            typed=typed,
            secret=order.secret if order else "",
            version=_version(order) if order else "",
            problems=found or {},
            notice=notice,
            checked=checked,
            length=counted(words_of(typed)) if language else "",
            language=language,
            language_name=_name_of(language),
            languages=_offered(typed.language),
            agreements=WORDINGS,
            most=MOST_CHARACTERS,
            most_bytes=MAX_UPLOAD_BYTES,
            least_words=MIN_WORDS,
            most_words=MAX_WORDS,
            draft_days=DRAFT_DAYS,
            price=price_words(shop.settings.price),
            promised=moment(promised_by(shop, now), now, shop.settings.timezone),
            director=shop.settings.director,
            is_demo=shop.payments is None,
            is_open=shop.is_open,
        )
        response = make_response(page, status)
        if wait_seconds:
            response.headers["Retry-After"] = str(wait_seconds)
        return response


def _version(order: Order) -> str:
    """Another one whenever other words are saved, and only then."""
    return hashlib.sha256((order.typed or Typed()).to_json()).hexdigest()[:16]


def _to_draft(secret: str, notice: str = "") -> AnyResponse:
    address = url_for("draft", secret=secret)
    return redirect(f"{address}?{notice}=1" if notice else address, 303)


def _to_order(secret: str) -> AnyResponse:
    return redirect(url_for("order", secret=secret), 303)


def _wait_seconds(refusal: TooManyRequests) -> int:
    return int(refusal.retry_after) if isinstance(refusal.retry_after, int) else CLOSED_SECONDS


def _name_of(tag: str) -> str:
    return dict(LANGUAGES).get(tag, tag)


def _offered(chosen: str) -> tuple[tuple[str, str], ...]:
    """The languages to choose from; one that was asked for beside the list is offered, too."""
    known = {tag for tag, _ in LANGUAGES}
    return LANGUAGES if not chosen or chosen in known else ((chosen, chosen), *LANGUAGES)
