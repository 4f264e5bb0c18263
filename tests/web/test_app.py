"""The shop over real HTTP: what visitors, Stripe and people with bad intentions get from it."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.payment import EventKind
from downstream.domain.state import State
from downstream.web import guards

Form = dict[str, Any]
ServeShop = Callable[..., Any]
SCRIPT = "<script>alert(1)</script>"


# --- the form --------------------------------------------------------------------------------------------------


def test_the_form_says_what_one_gets_for_how_much_and_by_when(serve_shop: ServeShop, till: Any) -> None:
    page = serve_shop(till, price_cents=4950).get("/")

    assert page.status_code == 200
    assert "€49.50" in page.text
    assert re.search(
        r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d[+]\d\d:00">(today|tomorrow) by about \d\d:\d\d', page.text
    )
    assert "Berlin time" in page.text
    assert "800 to 3,500 words" in page.text
    assert "one revision" in page.text
    assert "artificial intelligence" in page.text
    assert "MiniMax" in page.text
    assert "Demo" not in page.text


def test_a_demo_says_so_and_names_no_price(demo: Any) -> None:
    page = demo.get("/")

    assert "Demo: nobody pays, and the pictures are drawn by this machine." in page.text
    assert "Make my demo page" in page.text
    assert "€" not in page.text
    assert "MiniMax" not in page.text


def test_every_page_says_whom_one_deals_with(serve_shop: ServeShop) -> None:
    shop = serve_shop(imprint_url="https://a.example/us", terms_url="https://a.example/terms?a=1&b=2")

    for path in ("/", "/orders/nothing"):
        page = shop.get(path).text
        assert '<a href="https://a.example/us" rel="noopener" target="_blank">Who we are</a>' in page
        assert '<a href="https://a.example/terms?a=1&amp;b=2" rel="noopener" target="_blank">Terms</a>' in page
        assert "Privacy" not in page
    assert "<footer" not in serve_shop().get("/").text


def test_what_was_typed_is_shown_again_with_its_mistakes_beside_the_fields(demo: Any, filled: Form) -> None:
    secret = demo.begin(filled | {"title": "", "email": "nobody"})

    for _ in range(2):  # as often as the page is loaded
        page = demo.get(f"/drafts/{secret}?checked=1")
        assert page.status_code == 200
        assert "2 things are still to be put right" in page.text
        assert '<p class="problem" id="title-problem">Your story needs a title.</p>' in page.text
        assert 'aria-describedby="title-problem" aria-invalid="true"' in page.text
        assert '<a href="#email">This is not an e-mail address' in page.text
        assert 'value="nobody"' in page.text
        assert "How happy we are here!" in page.text


def test_a_text_comes_back_character_for_character(demo: Any, filled: Form) -> None:
    text = "\n\n  Leading space\tand tab\n</textarea>&amp; “quotes” \u202eback\n" + filled["text"]

    secret = demo.begin(filled | {"text": text})

    page = demo.get(f"/drafts/{secret}").text
    shown = re.search(r'<textarea class="manuscript"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert shown
    assert unescape(shown[1]) == text


def test_script_is_shown_and_not_run_wherever_it_is_typed(demo: Any, filled: Form) -> None:
    hostile = dict.fromkeys(("title", "tone", "notes", "email", "language", "text"), SCRIPT)

    secret = demo.begin(filled | hostile)
    page = demo.get(f"/drafts/{secret}?checked=1").text

    assert SCRIPT not in page
    assert page.count("&lt;script&gt;") >= len(hostile)


def test_a_fine_form_goes_straight_to_the_payment_page(serve_shop: ServeShop, till: Any, filled: Form) -> None:
    shop = serve_shop(till)

    answer = shop.post("/", filled | {"then": "pay"})

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{till.address}/pay/")
    (request,) = till.opened.values()
    assert request.customer_email == "reader@example.com"
    assert re.fullmatch(f"{shop.address}/orders/[A-Za-z0-9_-]+", request.success_url)
    assert re.fullmatch(rf"{shop.address}/drafts/[A-Za-z0-9_-]+\?cancelled=1", request.cancel_url)
    offered = shop.shop.orders.find(request.success_url.rpartition("/")[2]).offered
    assert (offered.title, offered.language) == ("The Selfish Giant", "en")


def test_a_form_with_a_mistake_never_goes_to_payment(serve_shop: ServeShop, till: Any, filled: Form) -> None:
    shop = serve_shop(till)

    answer = shop.post("/", filled | {"then": "pay", "agreed": ["rights"]})

    assert answer.headers["Location"].endswith("?checked=1")
    assert till.opened == {}


def test_coming_back_without_paying_finds_the_form_as_it_was(serve_shop: ServeShop, till: Any, filled: Form) -> None:
    shop = serve_shop(till)
    shop.post("/", filled | {"then": "pay"})
    (request,) = till.opened.values()

    page = requests.get(request.cancel_url, timeout=60)

    assert "came back without paying" in page.text
    assert "How happy we are here!" in page.text
    assert "The giant has a red beard." in page.text


def test_a_demo_is_ordered_at_once(demo: Any, filled: Form) -> None:
    secret = demo.order(filled)

    assert demo.get(f"/orders/{secret}").status_code == 200
    assert demo.get(f"/orders/{secret}/standing").json()["stage"] == "paid"
    assert demo.get(f"/drafts/{secret}").headers["Location"] == f"/orders/{secret}"
    assert demo.changes == ["changed"]


def test_what_is_sent_after_the_order_was_placed_changes_nothing(demo: Any, filled: Form) -> None:
    secret = demo.order(filled)

    answer = demo.post(f"/drafts/{secret}", filled | {"title": "Another", "then": "pay"})

    assert answer.status_code == 409
    assert "already on its way" in answer.text
    assert f'href="/orders/{secret}"' in answer.text
    assert len(demo.shop.queue.names(State.PENDING)) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [(TryAgain("no answer"), "does not answer"), (PersonDecides("no such"), "could not be opened")],
)
def test_a_payment_service_that_fails_loses_nothing_typed(
    serve_shop: ServeShop, till: Any, filled: Form, fault: Exception, said: str
) -> None:
    shop = serve_shop(till)
    till.fails_with = fault

    answer = shop.post("/", filled | {"then": "pay"})

    assert answer.status_code == 303
    page = shop.get(answer.headers["Location"])
    assert said in page.text
    assert "Nothing was charged" in page.text
    assert "How happy we are here!" in page.text


# --- coming back -----------------------------------------------------------------------------------------------


def test_a_closed_tab_leads_back_to_its_draft_until_another_is_begun(demo: Any, filled: Form) -> None:
    with requests.Session() as browser:
        draft = browser.post(f"{demo.address}/", filled | {"then": "save"}, timeout=60).url.partition("?")[0]

        assert browser.get(f"{demo.address}/", timeout=60).url == draft
        fresh = browser.get(f"{demo.address}/?new", timeout=60)
        assert "How happy we are here!" not in fresh.text
        assert browser.get(f"{demo.address}/", timeout=60).url == f"{demo.address}/"


def test_the_cookie_is_for_this_shop_alone(demo: Any, filled: Form) -> None:
    cookie = demo.post("/", filled).headers["Set-Cookie"]

    assert re.match(r"draft=[\w-]{32}; ", cookie)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # this shop is reached by http


@pytest.mark.parametrize("secret", ["", "x", "x" * 32, "../../etc/passwd"])
def test_a_cookie_of_no_draft_is_dropped(demo: Any, secret: str) -> None:
    answer = demo.get("/", headers={"Cookie": f"draft={secret}"})

    assert answer.status_code == 200
    assert "draft=;" in answer.headers["Set-Cookie"]


# --- files -----------------------------------------------------------------------------------------------------


def test_a_file_takes_the_place_of_the_text_and_is_never_paid_for_unseen(
    serve_shop: ServeShop, till: Any, filled: Form
) -> None:
    shop = serve_shop(till)
    file = ("story.txt", ("From the file. " * 300).encode())

    answer = shop.post("/", filled | {"then": "pay"}, files={"file": file})

    assert answer.headers["Location"].endswith("?read=1")
    page = shop.get(answer.headers["Location"])
    assert "This is the text of your file" in page.text
    assert "From the file. From the file." in page.text
    assert till.opened == {}


def test_a_file_that_cannot_be_read_leaves_the_form_as_it_was(demo: Any, filled: Form) -> None:
    answer = demo.post("/", filled, files={"file": (f"{SCRIPT}.txt", b"\xff\xfe\x00\xd8")})

    assert answer.status_code == 422
    assert 'id="file-problem"' in answer.text
    assert "How happy we are here!" in answer.text
    assert SCRIPT not in answer.text


def test_no_file_is_chosen_by_most(demo: Any, filled: Form) -> None:
    answer = demo.post("/", filled, files={"file": ("", b"")})

    assert answer.headers["Location"].endswith("?checked=1")


# --- not now ---------------------------------------------------------------------------------------------------


def test_a_closed_shop_offers_no_form_and_says_so(demo: Any, filled: Form, close_shop: Callable[[], None]) -> None:
    close_shop()

    page = demo.get("/")
    answer = demo.post("/", filled | {"then": "pay"})

    assert page.status_code == 200
    assert "We take no new orders at the moment" in page.text
    assert "<form" not in page.text
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "How happy we are here!" in answer.text
    assert list(demo.shop.orders.drafts()) == []


def test_a_draft_can_still_be_saved_in_a_closed_shop_but_not_paid(
    serve_shop: ServeShop, till: Any, filled: Form, close_shop: Callable[[], None]
) -> None:
    shop = serve_shop(till)
    secret = shop.begin(filled)
    close_shop()

    shop.post(f"/drafts/{secret}", filled | {"title": "Another", "then": "pay"})
    page = shop.get(f"/drafts/{secret}")

    assert 'value="Another"' in page.text
    assert "Go to payment" not in page.text
    assert till.opened == {}


def test_a_status_page_works_in_a_closed_shop(demo: Any, filled: Form, close_shop: Callable[[], None]) -> None:
    secret = demo.order(filled)
    close_shop()

    assert demo.get(f"/orders/{secret}").status_code == 200


def test_a_full_disk_costs_the_customer_nothing_typed(demo: Any, filled: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = demo.begin(filled)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("downstream.shop.orders.write_durably", full)
    answers = [demo.post(path, filled | {"title": "Kept here", "then": "pay"}) for path in ("/", f"/drafts/{secret}")]

    for answer in answers:
        assert answer.status_code == 503
        assert "could not be saved" in answer.text
        assert "nothing was charged" in answer.text
        assert 'value="Kept here"' in answer.text
        assert "How happy we are here!" in answer.text
    assert "How happy" not in demo.log


def test_too_many_drafts_are_refused_with_everything_typed(demo: Any, filled: Form) -> None:
    for _ in range(guards.Doing.BEGIN.value.amount):
        demo.begin(filled)

    answer = demo.post("/", filled)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert "How happy we are here!" in answer.text


def test_the_limit_is_each_visitors_own(demo: Any, filled: Form) -> None:
    for _ in range(guards.Doing.BEGIN.value.amount):
        demo.begin(filled)

    assert demo.post("/", filled, headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 303


def test_a_day_has_a_limit_of_its_own(demo: Any, filled: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards.Doing.BEGIN.value, "amount", 1000)
    for _ in range(guards.Doing.BEGIN_TODAY.value.amount):
        demo.begin(filled)

    answer = demo.post("/", filled)

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 24 * 3600
    assert demo.post("/", filled, headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 303


def test_a_shop_that_is_full_of_drafts_says_so_to_its_operator(
    demo: Any, filled: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(demo.shop, "tell", lambda fingerprint, _: told.append(fingerprint))
    monkeypatch.setattr("downstream.shop.orders.MOST_DRAFTS", 2)
    answers = [demo.post("/", filled) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [303, 303, 503]
    assert told == ["drafts_full"]
    assert "How happy we are here!" in answers[-1].text


def test_somebody_who_guesses_is_soon_told_nothing_at_all(demo: Any, filled: Form) -> None:
    secret = demo.begin(filled)
    for number in range(guards.Doing.GUESS.value.amount):
        assert demo.get(f"/orders/{number:032}").status_code == 404

    assert demo.get(f"/orders/{1:032}").status_code == 429
    assert demo.get(f"/drafts/{secret}").status_code == 429
    assert demo.get(f"/drafts/{secret}", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 200


# --- status ----------------------------------------------------------------------------------------------------


def test_before_the_webhook_has_come_the_status_page_waits_for_it(
    serve_shop: ServeShop, till: Any, filled: Form
) -> None:
    shop = serve_shop(till)
    shop.post("/", filled | {"then": "pay"})
    ((session_id, request),) = till.opened.items()

    before = requests.get(request.success_url, timeout=60)
    till.paid.add(session_id)
    till.tell(session_id)
    after = requests.get(request.success_url, timeout=60)

    assert "waiting for the confirmation of your payment" in before.text
    assert "Your order is in" in after.text
    assert '<meta http-equiv="refresh" content="20">' in after.text


def test_what_is_sent_before_the_webhook_has_come_leads_to_the_status_page_and_changes_nothing(
    serve_shop: ServeShop, till: Any, filled: Form
) -> None:
    shop = serve_shop(till)
    shop.post("/", filled | {"then": "pay"})
    ((session_id, request),) = till.opened.items()
    secret = request.success_url.rpartition("/")[2]
    till.paid.add(session_id)

    answer = shop.post(f"/drafts/{secret}", filled | {"title": "Another", "then": "pay"})
    till.tell(session_id)

    assert answer.status_code == 409
    assert f'href="/orders/{secret}"' in answer.text
    (path,) = shop.shop.home.glob("streams/*/input.json")
    assert json.loads(path.read_bytes())["title"] == "The Selfish Giant"
    assert len(till.opened) == 1


def test_a_draft_that_was_never_offered_has_no_status_page(demo: Any, filled: Form) -> None:
    secret = demo.begin(filled)

    assert demo.get(f"/orders/{secret}").headers["Location"] == f"/drafts/{secret}"


def test_the_status_page_shows_nothing_personal(demo: Any, filled: Form) -> None:
    secret = demo.order(filled)

    shown = demo.get(f"/orders/{secret}").text + demo.get(f"/orders/{secret}/standing").text

    for personal in ("Selfish", "reader@example.com", "happy", "red beard"):
        assert personal not in shown


def test_an_order_can_be_withdrawn_while_nothing_has_begun(demo: Any, filled: Form) -> None:
    secret = demo.order(filled)

    answer = demo.post(f"/orders/{secret}/withdraw")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/orders/{secret}")
    page = demo.get(f"/orders/{secret}").text
    assert "This order was withdrawn" in page
    assert "http-equiv" not in page
    assert demo.get(f"/orders/{secret}/standing").json()["is_over"] is True
    assert demo.changes == ["changed", "changed"]


def test_when_work_has_begun_it_is_too_late(demo: Any, filled: Form) -> None:
    secret = demo.order(filled)
    stream_id = demo.shop.orders.find(secret).stream_id
    (demo.shop.home / "streams" / stream_id / "receipts.jsonl").write_text("{}\n")

    answer = demo.post(f"/orders/{secret}/withdraw")

    assert answer.headers["Location"] == f"/orders/{secret}?late=1"
    assert "can no longer be withdrawn" in demo.get(answer.headers["Location"]).text
    assert demo.shop.queue.find(stream_id) is State.PENDING


@pytest.mark.parametrize("place", ["orders", "drafts"])
def test_unknown_and_malformed_secrets_get_the_same_page(demo: Any, place: str) -> None:
    answers = [demo.get(f"/{place}/{secret}") for secret in ("a" * 32, "x", "%2e%2e%2f%2e%2e", "a" * 3000, "%00")]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["Content-Type"] for answer in answers} == {"text/html; charset=utf-8"}


# --- the webhook -----------------------------------------------------------------------------------------------


@pytest.fixture
def ordered(serve_shop: ServeShop, till: Any, filled: Form) -> tuple[Any, str]:
    """A shop in which somebody stands at the till."""
    shop = serve_shop(till)
    shop.post("/", filled | {"then": "pay"})
    (session_id,) = till.opened
    return shop, session_id


def test_a_paid_session_becomes_a_job_before_stripe_is_told_so(ordered: tuple[Any, str], till: Any) -> None:
    shop, session_id = ordered
    till.paid.add(session_id)

    answers = [till.tell(session_id).status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert len(shop.shop.queue.names(State.PENDING)) == 1


def test_an_unsigned_event_is_forged(ordered: tuple[Any, str], till: Any) -> None:
    shop, session_id = ordered
    till.paid.add(session_id)

    answers = [
        shop.post("/stripe/webhook", b"{}", headers=headers).status_code
        for headers in ({}, {"Stripe-Signature": "t=1,v1=abc"})
    ]

    assert answers == [400, 400]
    assert shop.shop.queue.names(State.PENDING) == []


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), TryAgain("later"), RuntimeError("a bug")])
def test_whatever_goes_wrong_stripe_is_asked_to_call_again(
    ordered: tuple[Any, str], till: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    shop, session_id = ordered
    till.paid.add(session_id)

    def fail(*_: Any) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr("downstream.shop.events.carry_out", fail)
        assert till.tell(session_id).status_code == 503
    assert shop.shop.queue.names(State.PENDING) == []
    assert till.tell(session_id).status_code == 200
    assert len(shop.shop.queue.names(State.PENDING)) == 1


def test_the_webhook_takes_events_from_another_site_as_often_as_they_come(ordered: tuple[Any, str], till: Any) -> None:
    shop, session_id = ordered
    headers = {"Stripe-Signature": "signed by the till", "Sec-Fetch-Site": "cross-site", "Origin": "https://stripe.com"}
    body = f'{{"id": "evt_1", "type": "{EventKind.EXPIRED}", "session": "{session_id}"}}'.encode()

    with requests.Session() as stripe:
        answers = {
            stripe.post(f"{shop.address}/stripe/webhook", body, headers=headers, timeout=60).status_code
            for _ in range(200)
        }

    assert answers == {200}


def test_the_webhook_is_called_and_not_visited(ordered: tuple[Any, str]) -> None:
    shop, _ = ordered

    assert shop.get("/stripe/webhook").status_code == 405
    assert shop.post("/stripe/webhook", b"x" * 1_100_000).status_code == 413


def test_a_demo_has_no_webhook(demo: Any) -> None:
    assert demo.post("/stripe/webhook", b"{}").status_code == 404
    assert demo.get("/stripe/webhook").status_code == 404


# --- made pages ------------------------------------------------------------------------------------------------


@pytest.fixture
def made(demo: Any) -> Any:
    """A shop with one finished page, and things beside it that are nobody's business."""
    stream = demo.shop.home / "streams" / "abc"
    page = stream / "published" / "0123456789abcdef"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>Made</title>")
    (page / "page.zip").write_bytes(b"PK")
    (page / ".hidden").write_text("kept back")
    (page / "outside.txt").symlink_to(stream / "input.json")
    for kind in ("avif", "mp4", "webp", "js", "css"):
        (page / "assets" / f"one.{kind}").write_bytes(bytes(range(256)) * 4)
    (stream / "input.json").write_text("private")
    (stream / "public").symlink_to("published/0123456789abcdef")
    return demo


def test_a_made_page_is_served_with_its_files(made: Any) -> None:
    page = made.get("/streams/abc/")

    assert page.text == "<!doctype html><title>Made</title>"
    assert made.get("/streams/abc").headers["Location"] == "/streams/abc/"
    kinds = {name: made.get(f"/streams/abc/{name}").headers["Content-Type"] for name in (
        "assets/one.avif", "assets/one.mp4", "assets/one.webp", "assets/one.js", "assets/one.css", "page.zip",
    )}  # fmt: skip
    assert list(kinds.values()) == [
        "image/avif", "video/mp4", "image/webp", "text/javascript; charset=utf-8", "text/css; charset=utf-8",
        "application/zip",
    ]  # fmt: skip
    assert made.get("/streams/abc/assets/one.mp4").headers["Cache-Control"].endswith("immutable")
    assert page.headers["Cache-Control"] == "no-cache"
    again = made.get("/streams/abc/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304


def test_a_part_of_a_file_can_be_asked_for(made: Any) -> None:
    part = made.get("/streams/abc/assets/one.mp4", headers={"Range": "bytes=256-259"})

    assert (part.status_code, part.content) == (206, b"\x00\x01\x02\x03")
    assert part.headers["Content-Range"] == "bytes 256-259/1024"
    assert made.get("/streams/abc/assets/one.mp4", headers={"Range": "bytes=5000-"}).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/streams/abc/../input.json",
        "/streams/abc/..%2finput.json",
        "/streams/abc/%2e%2e/input.json",
        "/streams/abc/assets/../../../input.json",
        "/streams/abc//etc/passwd",
        "/streams/abc/%2fetc/passwd",
        "/streams/abc/.hidden",
        "/streams/abc/outside.txt",
        "/streams/abc/assets",
        "/streams/abc/index.html%00.txt",
        "/streams/abc/" + "a" * 5000,
        "/streams/.drafts/",
        "/streams/../streams/abc/",
        "/streams/abc%2fpublic/",
        "/streams/none/",
        "/streams/",
    ],
)
def test_nothing_but_the_page_is_served(made: Any, path: str) -> None:
    """Asked over a bare connection, for HTTP libraries tidy addresses up."""
    host, port = made.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 404 ")
    for secret in (b"private", b"kept back", b"root:"):
        assert secret not in answer


def test_a_stream_that_is_not_published_shows_nothing(made: Any) -> None:
    (made.shop.home / "streams" / "abc" / "public").unlink()

    assert made.get("/streams/abc/").status_code == 404


# --- guards ----------------------------------------------------------------------------------------------------


def test_every_page_carries_the_headers_that_protect_it(made: Any, filled: Form) -> None:
    secret = made.order(filled)

    for path in ("/", f"/orders/{secret}", f"/orders/{secret}/standing", "/nothing", "/streams/abc/", "/healthz"):
        headers = made.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
    for path in ("/", f"/orders/{secret}", f"/orders/{secret}/standing"):
        headers = made.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_forms_may_lead_to_the_payment_page_and_nowhere_else(serve_shop: ServeShop, till: Any) -> None:
    live = serve_shop().get("/").headers["Content-Security-Policy"]
    tested = serve_shop(till).get("/").headers["Content-Security-Policy"]

    assert "form-action 'self' https://checkout.stripe.com;" in live
    assert "form-action 'self' http://127.0.0.1:*;" in tested


def test_under_https_browsers_are_told_to_stay_there(serve_shop: ServeShop, filled: Form) -> None:
    shop = serve_shop(public_url="https://shop.example")

    answer = shop.post("/", filled, headers={"Host": "shop.example", "Origin": "https://shop.example"})

    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert answer.headers["Location"].startswith("/drafts/")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8000",
        "127.0.0.1@evil.example",
        "",
        "[::1",
        "localhost:x",
    ],
)
def test_another_host_is_not_answered(demo: Any, host: str) -> None:
    answer = demo.get("/", headers={"Host": host})

    assert answer.status_code == 400
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "[::1]:8000", "127.0.0.1"])
def test_this_machine_is_answered_under_all_its_names(demo: Any, host: str) -> None:
    assert demo.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({}, 303),
    ],
)
def test_forms_of_other_sites_are_refused(demo: Any, filled: Form, headers: dict[str, str], status: int) -> None:
    assert demo.post("/", filled, headers=headers).status_code == status


def test_coming_from_another_site_is_welcome(demo: Any) -> None:
    assert demo.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_what_is_too_large_is_refused(demo: Any, filled: Form) -> None:
    answer = demo.post("/", filled, files={"file": ("story.txt", b"x" * 11_960_000)})

    assert answer.status_code == 413
    assert "too much at once" in answer.text


@pytest.mark.parametrize("size_bytes", [5_000_001, 6_500_000, 11_900_000])
def test_beside_a_file_that_is_too_large_everything_typed_stays(demo: Any, filled: Form, size_bytes: int) -> None:
    answer = demo.post("/", filled, files={"file": ("story.txt", b"x" * size_bytes)})

    assert answer.status_code == 422
    assert "This file is too large (5 MB at most)" in answer.text
    assert "How happy we are here!" in answer.text
    assert "The giant has a red beard." in answer.text


def test_a_form_of_a_thousand_parts_is_refused(demo: Any) -> None:
    assert demo.post("/", files=[("title", (None, "x"))] * 1000).status_code == 413


def test_mistaken_methods_get_a_page_of_ours(demo: Any) -> None:
    answer = demo.post("/healthz")

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert "This cannot be done here" in answer.text


def test_an_unexpected_fault_says_nothing_about_itself(
    demo: Any, filled: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = demo.begin(filled)

    def fail(*_: Any) -> None:
        raise RuntimeError(f"a bug near {filled['email']}")

    monkeypatch.setattr("downstream.web.order_pages.standing", fail)
    answer = demo.get(f"/drafts/{secret}")

    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "reader@" not in answer.text + demo.log
    assert '"web.failed"' in demo.log


def test_logs_hold_no_words_addresses_or_secrets(demo: Any, filled: Form, capfd: pytest.CaptureFixture[str]) -> None:
    secret = demo.order(filled)
    demo.get(f"/orders/{secret}/nothing")
    demo.post(f"/drafts/{secret}", filled)
    demo.post("/", filled, headers={"Origin": "https://evil.example"})

    written = demo.log + "".join(capfd.readouterr())
    assert "order.drafted" in written
    for private in (secret, "happy", "reader@example.com", "Selfish"):
        assert private not in written


# --- small files -----------------------------------------------------------------------------------------------


def test_static_files_are_kept_for_ever_under_names_of_their_content(demo: Any) -> None:
    page = demo.get("/").text
    names = set(re.findall(r'"(/static/[^"]+)"', page))

    assert {Path(name).suffix for name in names} == {".css", ".js", ".svg", ".json"}
    for name in names:
        answer = demo.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert demo.get("/static/style.css").status_code == 404
    assert demo.get("/static/..%2fapp.py").status_code == 404


def test_the_rest_of_what_is_asked_of_every_site(demo: Any) -> None:
    assert demo.get("/healthz").text == "ok\n"
    assert "Disallow: /drafts/" in demo.get("/robots.txt").text
    assert demo.get("/favicon.ico").headers["Content-Type"] == "image/svg+xml"


def test_the_language_of_a_text_is_told(demo: Any) -> None:
    answer = demo.post("/language", "Egyszer volt, hol nem volt, volt egyszer egy szegény ember.".encode())

    assert answer.json() == {"tag": "hu", "name": "Magyar"}
    assert demo.post("/language", os.urandom(1000)).status_code == 200
    assert demo.post("/language", b"x" * 200_000).status_code == 413
