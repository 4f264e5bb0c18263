"""The shop on a port of this machine, a till to pay at, and a browser to come with."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from browser import PATIENCE_SECONDS

from downstream.domain.payment import CheckoutRequest, CheckoutSession, EventKind, Forged, PaymentEvent
from downstream.log import open_log
from downstream.queue import Queue
from downstream.settings import Settings
from downstream.shop.shop import Shop
from downstream.web.app import make_app
from downstream.web.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

STORY = (Path(__file__).parent.parent / "stories" / "the-selfish-giant.txt").read_text("utf-8").strip()
AGREED = ["start_now", "ai_images", "rights"]


@pytest.fixture(scope="session")
def story() -> str:
    """A story of a length that is sold."""
    return STORY


@pytest.fixture
def filled() -> dict[str, Any]:
    """A form in which nothing is wrong."""
    return {
        "title": "The Selfish Giant",
        "text": STORY,
        "language": "",
        "tone": "tender",
        "style": "woodcut",
        "colors": "",
        "references": "",
        "notes": "The giant has a red beard.",
        "email": "reader@example.com",
        "agreed": AGREED,
    }


# --- the till --------------------------------------------------------------------------------------------------


@dataclass
class Till:
    """Takes payments on a page of its own and tells the shop of them: as much of one as the pages meet."""

    name: str = "till"
    address: str = ""
    shop_address: str = ""
    opened: dict[str, CheckoutRequest] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    fails_with: Exception | None = None

    def open_checkout(self, request: CheckoutRequest) -> CheckoutSession:
        if self.fails_with:
            raise self.fails_with
        session_id = f"cs_test_{request.stream_id}_{request.attempt}"
        self.opened[session_id] = request
        return self.session(session_id)

    def session(self, session_id: str) -> CheckoutSession:
        request, is_paid = self.opened[session_id], session_id in self.paid
        return CheckoutSession(
            session_id=session_id,
            stream_id=request.stream_id,
            status="complete" if is_paid else "open",
            is_paid=is_paid,
            amount=request.price,
            payment_intent=f"pi_{session_id}" if is_paid else "",
            created_at=datetime.now(UTC),
            expires_at=request.expires_at,
            address=f"{self.address}/pay/{session_id}",
            customer_email=request.customer_email,
        )

    def read_event(self, body: bytes, signature: str) -> PaymentEvent:
        if signature != "signed by the till":
            raise Forged("not signed")
        kept = json.loads(body)
        return self.recall_event(kept)

    def recall_event(self, kept: dict[str, Any]) -> PaymentEvent:
        return PaymentEvent(
            event_id=kept["id"],
            kind=EventKind(kept["type"]),
            at=datetime.now(UTC),
            session=self.session(kept["session"]),
            kept=kept,
        )

    def tell(self, session_id: str, kind: EventKind = EventKind.COMPLETED) -> requests.Response:
        """Calls the shop's webhook about a payment page."""
        body = json.dumps({"id": f"evt_{session_id}_{kind.name}", "type": kind.value, "session": session_id})
        headers = {"Stripe-Signature": "signed by the till"}
        return requests.post(f"{self.shop_address}/stripe/webhook", body, headers=headers, timeout=60)

    def page(self, session_id: str) -> str:
        return (
            "<!doctype html><html lang=en><title>Till</title><link rel=icon href=data:,><h1>Till</h1>"
            f'<form method=post><button>Pay</button></form><a href="{self.opened[session_id].cancel_url}">Back</a>'
        )


class _TillHandler(BaseHTTPRequestHandler):
    def __init__(self, till: Till, *arguments: Any) -> None:
        self.till = till
        super().__init__(*arguments)

    def do_GET(self) -> None:
        data = self.till.page(self.path.rpartition("/")[2]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        session_id = self.path.rpartition("/")[2]
        self.till.paid.add(session_id)
        self.till.tell(session_id)
        self.send_response(303)
        self.send_header("Location", self.till.opened[session_id].success_url)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def till() -> Iterator[Till]:
    """An open till."""
    till = Till()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), partial(_TillHandler, till))
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    till.address = f"http://127.0.0.1:{listening.server_port}"
    yield till
    listening.shutdown()
    listening.server_close()


# --- the shop --------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """A shop that is open for requests."""

    shop: Shop
    address: str
    changes: list[str]
    """One entry for each time there may have been letters to send."""

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.address + path, allow_redirects=False, timeout=60, **options)

    def post(self, path: str, form: dict[str, Any] | bytes | None = None, **options: Any) -> requests.Response:
        return requests.post(self.address + path, data=form, allow_redirects=False, timeout=60, **options)

    def begin(self, form: dict[str, Any]) -> str:
        """The secret of a new draft."""
        answer = self.post("/", {**form, "then": "save"})
        assert answer.status_code == 303, answer.text
        found = re.fullmatch(r"/drafts/([\w-]+)\?checked=1", answer.headers["Location"])
        assert found
        return found[1]

    def order(self, form: dict[str, Any]) -> str:
        """The secret of a demo order that is placed."""
        answer = self.post("/", {**form, "then": "pay"})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].removeprefix("/orders/")

    @property
    def log(self) -> str:
        return (self.shop.home / "logs" / "serve.log").read_text()


def make_shop(home: Path, payments: Any = None, **settings: Any) -> Shop:
    return Shop(
        home=home,
        settings=replace(Settings(), timezone="Europe/Berlin", **settings),
        queue=Queue(home),
        payments=payments,
        mail_for=lambda _: None,
        log=open_log(home, "serve"),
        tell=lambda *_: None,
    )


@contextmanager
def serving(shop: Shop) -> Iterator[Served]:
    """The shop is served while this lasts."""
    changes: list[str] = []
    listening, stop, place = threading.Event(), threading.Event(), [("", 0)]

    def note(host: str, port: int) -> None:
        place[0] = (host, port)
        listening.set()

    app = make_app(shop, after_change=lambda: changes.append("changed"))
    thread = threading.Thread(
        target=serve,
        args=(app, "127.0.0.1", 0),
        kwargs={"log": shop.log, "on_listening": note, "stop": stop},
        daemon=True,
    )
    thread.start()
    assert listening.wait(60)
    served = Served(shop, f"http://127.0.0.1:{place[0][1]}", changes)
    shop.settings = replace(shop.settings, public_url=served.address)
    try:
        yield served
    finally:
        stop.set()
        with suppress(OSError):  # it looks up when somebody comes, unless it is gone already
            socket.create_connection(place[0], timeout=60).close()
        thread.join(60)


@pytest.fixture
def serve_shop(home: Path) -> Iterator[Callable[..., Served]]:
    """Serves a shop; with a till one pays there, without it is a demo."""
    stack: list[Any] = []

    def serve_it(till: Till | None = None, **settings: Any) -> Served:
        if till:
            settings["stripe_base_url"] = till.address
        stack.append(serving(make_shop(home, till, **settings)))
        served: Served = stack[-1].__enter__()
        if till:
            till.shop_address = served.address
        return served

    yield serve_it
    for one in stack:
        one.__exit__(None, None, None)


@pytest.fixture
def demo(serve_shop: Callable[..., Served]) -> Served:
    """A shop in which nobody pays."""
    return serve_shop()


@pytest.fixture
def close_shop(home: Path) -> Callable[[], None]:
    """Somebody forgot to renew the heartbeat."""

    def close() -> None:
        path = home / "HEARTBEAT.md"
        long_ago = (datetime.now(UTC) - timedelta(days=90)).date()
        path.write_text(re.sub(r"Renewed: \S+", f"Renewed: {long_ago}", path.read_text()))

    return close


# --- the browser -----------------------------------------------------------------------------------------------

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a window; complaints of the browser about the page fail the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    provoked: list[int] = []

    def hear(message: ConsoleMessage) -> None:
        # Only a request that the test itself broke off ends with ERR_FAILED; sometimes the browser is quick to say so.
        is_provoked = any(f"responded with a status of {status} " in message.text for status in provoked)
        if message.type == "error" and message.text != "Failed to load resource: net::ERR_FAILED" and not is_provoked:
            complaints.append(message.text)

    def open_window(size: dict[str, int] | None = None, *, refusals: tuple[int, ...] = (), **options: Any) -> Page:
        provoked.extend(refusals)
        context = browser.new_context(viewport=size or DESKTOP, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []
