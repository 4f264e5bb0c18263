"""The shop's web application: which address leads where, and what is said when something goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, make_response, render_template, request, url_for
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from downstream.domain.payment import Forged
from downstream.log import where
from downstream.shop import events
from downstream.web.assets import Assets
from downstream.web.door import Door
from downstream.web.guards import WEBHOOK, guard
from downstream.web.made_pages import MadePages
from downstream.web.order_pages import OrderPages
from downstream.web.server import MAX_BODY_BYTES
from downstream.web.status_pages import StatusPages
from downstream.web.upload import MAX_CHARACTERS, MAX_UPLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response as AnyResponse

    from downstream.shop.shop import Shop

MAX_EVENT_BYTES = 1_000_000
MAX_SAMPLE_BYTES = 100_000
MAX_REQUEST_BYTES = MAX_BODY_BYTES - 50_000
"""A little less than the server takes, so that our own page says so."""
_FORM_BYTES = MAX_CHARACTERS * 4 + 100_000
"""The longest text in the widest script, and the rest of the form."""
_ROBOTS = """\
User-agent: *
Disallow: /drafts/
Disallow: /orders/
Disallow: /streams/
"""

_WORDS = {
    400: ("This request makes no sense to us", "Please go to the beginning and try again."),
    403: ("This came from another site", "Orders are taken only from our own page. Please go to the beginning."),
    404: ("There is nothing here", "The link is not whole, or what it led to was erased. Please look at it again."),
    405: ("This cannot be done here", "Please go to the beginning."),
    413: (
        "That is too much at once",
        f"A file may have up to {MAX_UPLOAD_BYTES // 1_000_000} MB. Go back one page: what you typed is still there.",
    ),
    429: ("A little slower, please", "This was asked for very often in a short time. Please try again in a while."),
    500: ("Something went wrong here", "It is our fault, and it was written down. Please try again in a few minutes."),
    503: ("Not just now", "Something here does not work at the moment. Please try again in a few minutes."),
}
_OTHERWISE = ("This did not work", "Please go to the beginning and try again.")


def make_app(shop: Shop, *, after_change: Callable[[], None]) -> Flask:
    """The shop, ready to be served; ``after_change`` is called when there may be letters to send."""
    app = Flask("downstream.web", static_folder=None, template_folder="templates")
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES,
        MAX_FORM_MEMORY_SIZE=_FORM_BYTES,
        MAX_FORM_PARTS=40,
    )
    app.url_map.merge_slashes = False  # its redirects would be built from the request's host
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals["seller_pages"] = shop.settings.seller_pages
    guard(app, shop.settings)
    _add_pages(app, Door(shop, after_change))
    _add_files(app, shop)
    _add_errors(app, shop)
    return app


def _add_pages(app: Flask, door: Door) -> None:
    orders, statuses = OrderPages(door), StatusPages(door)
    app.add_url_rule("/", "start", orders.start, methods=["GET"])
    app.add_url_rule("/", "begin", orders.begin, methods=["POST"])
    app.add_url_rule("/drafts/<secret>", "draft", orders.show, methods=["GET"])
    app.add_url_rule("/drafts/<secret>", "change", orders.change, methods=["POST"])
    app.add_url_rule("/language", "language", _small(orders.detect, MAX_SAMPLE_BYTES), methods=["POST"])
    app.add_url_rule("/orders/<secret>", "order", statuses.show, methods=["GET"])
    app.add_url_rule("/orders/<secret>/standing", "standing", statuses.standing, methods=["GET"])
    app.add_url_rule("/orders/<secret>/withdraw", "withdraw", statuses.withdraw, methods=["POST"])
    if door.shop.payments is not None:
        app.add_url_rule(WEBHOOK, "webhook", _small(_webhook(door), MAX_EVENT_BYTES), methods=["POST"])


def _add_files(app: Flask, shop: Shop) -> None:
    assets, made = Assets(), MadePages(shop.home)
    app.jinja_env.globals["asset"] = assets.address
    app.add_url_rule("/static/<name>", "static", assets.serve)
    app.add_url_rule("/favicon.ico", "favicon", assets.favicon)
    app.add_url_rule("/streams/<stream_id>", "enter_made_page", made.enter)
    app.add_url_rule("/streams/<stream_id>/", "made_page", made.serve)
    app.add_url_rule("/streams/<stream_id>/<path:path>", "made_file", made.serve)
    app.add_url_rule("/healthz", "health", lambda: _plain("ok\n"))
    app.add_url_rule(
        "/robots.txt",
        "robots",
        lambda: _plain(_ROBOTS),
    )


def _webhook(door: Door) -> Callable[[], Response]:
    def receive() -> Response:
        body = request.get_data(cache=False)
        try:
            events.receive(door.shop, body, request.headers.get("Stripe-Signature", ""))
        except Forged:
            door.shop.log.warning("webhook.forged")
            return _plain("not signed by the payment service\n", 400)
        door.after_change()
        return _plain("stored\n")

    return receive


def _small(view: Callable[[], AnyResponse], most_bytes: int) -> Callable[[], AnyResponse]:
    def limited() -> AnyResponse:
        request.max_content_length = most_bytes
        return view()

    return limited


def _add_errors(app: Flask, shop: Shop) -> None:
    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        return _error_page(error)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        """A message may quote a customer: only the kind of the error and its place are written down."""
        shop.log.error("web.failed", page=request.endpoint, **where(error))
        # Stripe calls again after any 5xx. A disk that is full is nobody's mistake.
        is_passing = request.path == WEBHOOK or isinstance(error, OSError)
        return _error_page(ServiceUnavailable(retry_after=60) if is_passing else InternalServerError())


def _error_page(error: HTTPException) -> Response:
    code = error.code or 500
    headline, sentence = _WORDS.get(code, _OTHERWISE)
    response = make_response(_message(headline, sentence), code)
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length", "Location"}:
            response.headers[name] = value
    return response


def _message(headline: str, sentence: str) -> str:
    leads_to = {"address": url_for("start"), "leads_to": "To the beginning"}
    return render_template("message.html", headline=headline, sentence=sentence, **leads_to)


def _plain(text: str, status: int = 200) -> Response:
    return Response(text, status, mimetype="text/plain")
