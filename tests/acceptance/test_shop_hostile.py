"""What strangers send on purpose is refused, or shown as the text it is, and the shop stays up."""

from __future__ import annotations

import html
import io
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from fakes.stripe import FakeStripe
from live import STORY
from served import Reply, Served, serving, shop_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = {"Host": "stories.example"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", **HOST}
SCRIPT = "<script>alert('told')</script>"
GOOD = {
    "title": "The harbour",
    "text": STORY,
    "language": "en",
    "email": "reader@customer.example",
    "agreed": ["start_now", "ai_images", "rights"],
}


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    with FakeStripe() as account, serving(home, shop_environment(account)) as running:
        yield running
        assert running.ask("GET", "/", headers=HOST).status == 200, "the shop is not up any more"
        assert running.stop() == 0
    said = running.said + "".join(path.read_text() for path in home.glob("logs/*.log"))
    for word in ("Traceback", "heron", "customer.example", "alert("):
        assert word not in said


def send(served: Served, path: str = "/", **fields: object) -> Reply:
    """The form as a browser sends it."""
    return served.ask("POST", path, urlencode(GOOD | fields, doseq=True).encode(), FORM)


def saved(served: Served, **fields: object) -> Reply:
    """The page that the form leads to."""
    answer = send(served, **fields)
    assert answer.status == 303, answer.text
    return served.ask("GET", answer.headers["location"].replace("https://stories.example", ""), headers=HOST)


def test_script_in_any_field_is_shown_as_text(served: Served) -> None:
    page = saved(served, title=SCRIPT, text=STORY + SCRIPT, notes=SCRIPT, tone=f'"{SCRIPT}', email="nobody")

    assert page.status == 200
    assert SCRIPT not in page.text
    assert page.text.count(html.escape(SCRIPT, quote=True).replace("&#x27;", "&#39;")) == 4


@pytest.mark.parametrize("name", [f"{SCRIPT}.txt", "../../../etc/passwd", "a\r\nSet-Cookie: x=y.txt", "\0.pdf"])
def test_a_files_name_is_never_used(served: Served, name: str) -> None:
    body = (
        b'--frontier\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + STORY.encode()
        + b"\r\n--frontier--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=frontier", **HOST}

    answer = served.ask("POST", "/", body, headers)

    assert answer.status in {303, 400, 422}
    assert SCRIPT not in answer.text
    assert "x=y" not in str(answer.headers)


@pytest.mark.parametrize(
    "address", ["a@b.example\r\nBcc: all@b.example", "a@b.example%0d%0aBcc: c@d.example", "a,b@c.example"]
)
def test_an_address_that_is_more_than_one_is_refused_beside_its_field(served: Served, address: str) -> None:
    page = saved(served, email=address, then="pay")

    assert "This is not an e-mail address" in page.text


@pytest.mark.parametrize("path", ["/", "/stripe/webhook", "/language"])
def test_a_body_of_a_hundred_megabytes_is_refused_without_being_held(served: Served, path: str) -> None:
    before = served.resident_megabytes
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as line:
        head = f"POST {path} HTTP/1.1\r\nHost: stories.example\r\nContent-Length: 100000000\r\n\r\n"
        line.sendall(head.encode())
        answer = line.recv(65536)

    assert b" 413 " in answer.split(b"\r\n")[0]
    assert served.resident_megabytes < before + 30


def test_slow_bodies_do_not_keep_others_waiting(served: Served) -> None:
    lines = []
    for _ in range(40):
        line = socket.create_connection(("127.0.0.1", served.port), timeout=30)
        line.sendall(b"POST / HTTP/1.1\r\nHost: stories.example\r\nContent-Length: 100000\r\n\r\nx")
        lines.append(line)
    begun = time.monotonic()

    assert served.ask("GET", "/", headers=HOST).status == 200

    assert time.monotonic() - begun < 20  # a customer's patience, not a measure of speed
    for line in lines:
        line.close()


def test_a_word_file_that_unpacks_without_end_is_told(served: Served) -> None:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * 500_000_000)
    before = served.resident_megabytes
    body = (
        b'--f\r\nContent-Disposition: form-data; name="file"; filename="s.docx"\r\n\r\n'
        + packed.getvalue()
        + b"\r\n--f--\r\n"
    )

    answer = served.ask("POST", "/", body, {"Content-Type": "multipart/form-data; boundary=f", **HOST})

    assert answer.status == 422
    assert served.resident_megabytes < before + 50


@pytest.mark.parametrize(
    "path",
    [
        "/streams/../../etc/passwd",
        "/streams/%2e%2e/%2e%2e/etc/passwd",
        "/streams/..%2f..%2fetc%2fpasswd",
        "/streams/.drafts/",
        "/streams/x/%2e%2e/input.json",
        "/streams/x/..%2finput.json",
        "/streams/x%00/",
        "/orders/../../etc/passwd",
        "/orders/" + "a" * 32,
        "/orders/" + "a" * 5000,
        "/orders/%00",
        "/drafts/" + "b" * 32,
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_paths_that_lead_elsewhere_lead_nowhere(served: Served, path: str) -> None:
    answer = served.ask("GET", path, headers=HOST)

    assert answer.status == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "stories.example.evil.example", "stories.example@evil.example", ""])
def test_a_forged_host_is_not_answered(served: Served, host: str) -> None:
    answer = served.ask("GET", "/", headers={"Host": host, "X-Forwarded-Host": "evil.example"})

    assert answer.status == 400
    assert "evil.example" not in answer.text


def test_guessing_addresses_of_orders_is_slowed_down_and_told_nothing(served: Served) -> None:
    answers = [served.ask("GET", f"/orders/{number:032d}", headers=HOST) for number in range(70)]

    assert {answer.status for answer in answers[:50]} == {404}
    assert len({answer.text for answer in answers[:50]}) == 1
    assert answers[-1].status == 429
    assert "retry-after" in answers[-1].headers


def test_another_sites_form_is_refused(served: Served) -> None:
    body = urlencode(GOOD, doseq=True).encode()

    for more in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert served.ask("POST", "/", body, FORM | more).status == 403


def test_a_form_of_ten_thousand_fields_is_refused(served: Served) -> None:
    many = urlencode({f"field{number}": "x" for number in range(10_000)}).encode()

    assert served.ask("POST", "/", many, FORM).status in {303, 413}
    parts = b"".join(b'--f\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' for _ in range(10_000))
    headers = {"Content-Type": "multipart/form-data; boundary=f", **HOST}
    assert served.ask("POST", "/", parts + b"--f--\r\n", headers).status == 413
