"""The server, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import structlog

from downstream.domain.errors import Misconfigured
from downstream.web.server import MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_HEADER_BYTES, serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

NOBODY_WAITS_SO_LONG_SECONDS = 30.0


class Shop:
    """An application that answers with what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[WSGIEnvironment] = []
        self.entered = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.asked.append(environment)
        if environment["PATH_INFO"] == "/slow":
            self.entered.set()
            self.may_answer.wait(NOBODY_WAITS_SO_LONG_SECONDS)
        if environment["PATH_INFO"] == "/fault":
            raise ValueError("the customer's words")
        body = environment["wsgi.input"].read()
        told = {key: value for key, value in environment.items() if isinstance(value, str)} | {"body_bytes": len(body)}
        told["url_scheme"] = environment["wsgi.url_scheme"]
        answer = json.dumps(told).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


class Running(NamedTuple):
    """A server that listens."""

    shop: Shop
    port: int
    events: list[Any]
    stop: threading.Event
    thread: threading.Thread

    def connect(self) -> socket.socket:
        """A connection with nothing sent yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=NOBODY_WAITS_SO_LONG_SECONDS)

    def get(self, path: str = "/", **headers: str) -> dict[str, Any]:
        """What the application was asked, as it tells it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=NOBODY_WAITS_SO_LONG_SECONDS)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        told: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return told


@contextmanager
def running(patience_seconds: float = 60.0) -> Iterator[Running]:
    """A server on a free port, ended with the test."""
    shop, stop, listening, ports = Shop(), threading.Event(), threading.Event(), []
    with structlog.testing.capture_logs() as events:
        log = structlog.get_logger()

        def run() -> None:
            def heard(_: str, port: int) -> None:
                ports.append(port)
                listening.set()

            serve(shop, "127.0.0.1", 0, log=log, on_listening=heard, stop=stop, patience_seconds=patience_seconds)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert listening.wait(NOBODY_WAITS_SO_LONG_SECONDS)
            yield Running(shop, ports[0], events, stop, thread)
        finally:
            shop.may_answer.set()
            stop.set()
            thread.join()


@pytest.fixture
def server() -> Iterator[Running]:
    """A server as customers meet it."""
    with running() as found:
        yield found


@pytest.fixture
def impatient() -> Iterator[Running]:
    """A server that waits a second for a request."""
    with running(patience_seconds=1.0) as found:
        yield found


def answer_of(client: socket.socket) -> bytes:
    """All that comes until the server closes, or throws the connection away."""
    received = b""
    with suppress(ConnectionError):
        while chunk := client.recv(65536):
            received += chunk
    return received


def send_until_refused(client: socket.socket, block: bytes, blocks: int) -> int:
    """Sends and sends; returns how many bytes the server's machine took."""
    sent = 0
    client.settimeout(3.0)
    with suppress(OSError):
        for _ in range(blocks):
            client.sendall(block)
            sent += len(block)
    client.settimeout(NOBODY_WAITS_SO_LONG_SECONDS)
    return sent


def status_of(answer: bytes) -> str:
    """The number in its first line."""
    return answer.split(b" ", 2)[1].decode() if answer else ""


def test_a_request_is_answered_and_the_connection_kept(server: Running) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/orders", body=b"x" * 70_000)
    first = json.loads(connection.getresponse().read())
    kept = connection.sock
    connection.request("GET", "/again?q=1")
    answer = connection.getresponse()
    second = json.loads(answer.read())

    assert (first["PATH_INFO"], first["body_bytes"]) == ("/orders", 70_000)
    assert (second["PATH_INFO"], second["QUERY_STRING"]) == ("/again", "q=1")
    assert connection.sock is kept
    assert answer.getheader("Server") is None
    connection.close()


def test_a_body_of_the_largest_size_is_taken(server: Running) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/", body=b"x" * MAX_BODY_BYTES)

    assert json.loads(connection.getresponse().read())["body_bytes"] == MAX_BODY_BYTES
    connection.close()


def test_a_body_that_is_declared_too_large_is_refused_and_the_client_reads_why(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1))
        blocks = MAX_BODY_BYTES // 100_000 + 1
        sent = send_until_refused(client, b"x" * 100_000, blocks)
        answer = answer_of(client)

    assert status_of(answer) == "413"
    assert sent == blocks * 100_000
    assert server.shop.asked == []


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_of_a_hundred_megabytes_only_a_fraction_is_read(server: Running, *, chunked: bool) -> None:
    block = b"x" * 100_000
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000000"
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\n" + head + b"\r\n\r\n")
        sent = send_until_refused(client, b"%x\r\n%b\r\n" % (len(block), block) if chunked else block, 1000)

    assert sent < 40_000_000
    assert server.shop.asked == []
    assert server.get()["PATH_INFO"] == "/"


def test_a_chunked_body_that_grows_too_large_is_refused_and_the_client_reads_why(server: Running) -> None:
    block = b"x" * 100_000
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n")
        send_until_refused(client, b"%x\r\n%b\r\n" % (len(block), block), MAX_BODY_BYTES // len(block) + 5)
        answer = answer_of(client)

    assert status_of(answer) == "413"
    assert server.shop.asked == []


def test_nobody_is_told_to_go_on_with_a_body_that_is_refused(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = answer_of(client)

    assert status_of(answer) == "413"
    assert b"100 Continue" not in answer


def test_a_client_that_asks_first_is_told_to_go_on(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"hello")

        assert status_of(client.recv(65536)) == "200"


@pytest.mark.parametrize(
    "headers",
    [b"X-Long: " + b"x" * MAX_HEADER_BYTES, b"\r\n".join(b"X-%d: x" % number for number in range(3000))],
    ids=["one too long", "too many"],
)
def test_headers_beyond_the_limit_are_refused(server: Running, headers: bytes) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n" + headers + b"\r\n\r\n")
        answer = answer_of(client)

    assert status_of(answer) == "431"
    assert server.shop.asked == []


def test_headers_without_an_end_are_not_collected_for_ever(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n")
        send_until_refused(client, b"X-More: x\r\n" * 100, 100)

        assert status_of(answer_of(client)) == "431"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0" * 500 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : shop\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_garbage_is_refused_and_the_next_customer_served(server: Running, garbage: bytes) -> None:
    with server.connect() as client:
        client.sendall(garbage)
        answer = answer_of(client)

    assert status_of(answer) in {"400", "501"}
    assert b"Server:" not in answer
    assert b"Traceback" not in answer
    assert server.shop.asked == []
    assert server.get()["PATH_INFO"] == "/"


def drip(client: socket.socket, drops: Iterable[bytes]) -> int:
    """Sends a little at a time until the server has had enough; returns how often that went well."""
    count = 0
    with suppress(OSError):
        for drop in drops:
            client.sendall(drop)
            count += 1
            time.sleep(0.2)
    return count


DROPS = 60  # twelve seconds' worth, where the server waits for one or two


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"GET / HTTP/1.1\r\nX-Slow: ", b"x"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"\r\n\r\n\r"),
    ],
    ids=["headers", "body", "chunks", "blank lines"],
)
def test_a_request_that_drips_is_ended_though_it_is_never_silent(
    impatient: Running, beginning: bytes, drop: bytes
) -> None:
    with impatient.connect() as client:
        client.sendall(beginning)

        assert drip(client, [drop] * DROPS) < DROPS
    assert impatient.shop.asked == []


def test_a_request_that_is_merely_slow_is_answered(server: Running) -> None:
    with server.connect() as client:
        for drop in (b"POST / HT", b"TP/1.1\r\nHost: sh", b"op\r\nContent-Length: 4\r\n\r\n", b"ab", b"cd"):
            client.sendall(drop)
            time.sleep(0.1)

        assert status_of(client.recv(65536)) == "200"


def test_an_idle_connection_is_closed(impatient: Running) -> None:
    with impatient.connect() as client, impatient.connect() as used:
        used.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")

        assert status_of(answer_of(used)) == "200"
        assert answer_of(client) == b""


def test_an_answer_that_takes_its_time_is_not_cut_off(impatient: Running) -> None:
    with impatient.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert impatient.shop.entered.wait(NOBODY_WAITS_SO_LONG_SECONDS)
        time.sleep(2.5)  # more than it waits for a client
        impatient.shop.may_answer.set()

        assert status_of(client.recv(65536)) == "200"


@pytest.mark.parametrize("beginning", [b"", b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nx"], ids=["idle", "begun"])
def test_many_connections_that_ask_nothing_do_not_keep_a_customer_out(server: Running, beginning: bytes) -> None:
    crowd = [server.connect() for _ in range(MAX_CONNECTIONS + 50)]
    for one in crowd:
        with suppress(OSError):
            one.sendall(beginning)

    assert server.get("/order")["PATH_INFO"] == "/order"
    for one in crowd:
        one.close()


def test_a_customer_in_the_middle_of_a_request_outlasts_idle_connections(server: Running) -> None:
    with server.connect() as customer:
        customer.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab")
        crowd = [server.connect() for _ in range(MAX_CONNECTIONS + 50)]
        server.get()
        customer.sendall(b"cd")

        assert status_of(customer.recv(65536)) == "200"
    for one in crowd:
        one.close()


def test_the_proxy_on_this_machine_says_who_asks_and_how(server: Running) -> None:
    told = server.get(Host="shop.example", X_Forwarded_For="198.51.100.7, 203.0.113.9", X_Forwarded_Proto="https")

    assert told["REMOTE_ADDR"] == "203.0.113.9"
    assert told["url_scheme"] == "https"
    assert told["HTTP_HOST"] == "shop.example"


def test_nobody_is_believed_about_the_host(server: Running) -> None:
    told = server.get(
        Host="shop.example",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Port="666",
        X_Forwarded_By="evil.example",
        Forwarded="for=192.0.2.1;host=evil.example;proto=https",
    )

    assert "evil" not in json.dumps(told)
    assert "666" not in told.values()
    assert (told["HTTP_HOST"], told["url_scheme"]) == ("shop.example", "http")


def test_somebody_who_is_not_the_proxy_is_not_believed_at_all(server: Running) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, source_address=("127.0.0.2", 0))
    connection.request("GET", "/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    told = json.loads(connection.getresponse().read())
    connection.close()

    assert (told["REMOTE_ADDR"], told["url_scheme"]) == ("127.0.0.2", "http")
    assert "203.0.113.9" not in told.values()


def test_a_fault_in_the_application_is_told_without_its_words(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"GET /fault?secret=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        answer = answer_of(client)

    assert status_of(answer) == "500"
    assert b"customer's words" not in answer
    assert [(event["event"], event["error"]) for event in server.events] == [("web.trouble", "ValueError")]
    assert "words" not in str(server.events)
    assert "secret" not in str(server.events)


def test_a_port_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"127\.0\.0\.1, port {port} .*in use.*--port"):
            serve(Shop(), "127.0.0.1", port, log=structlog.get_logger(), on_listening=lambda *_: None)


@pytest.mark.parametrize(("host", "port"), [("no-such-host.invalid", 0), ("203.0.113.5", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_is_not_here_is_explained(host: str, port: int) -> None:
    with pytest.raises(Misconfigured, match=f"{host}, port {port}"):
        serve(Shop(), host, port, log=structlog.get_logger(), on_listening=lambda *_: None)


def test_a_request_under_way_is_answered_before_the_server_ends(server: Running) -> None:
    with server.connect() as client, server.connect() as idle:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert server.shop.entered.wait(NOBODY_WAITS_SO_LONG_SECONDS)
        server.stop.set()
        assert answer_of(idle) == b""
        server.shop.may_answer.set()

        assert status_of(answer_of(client)) == "200"
    server.thread.join()
    with pytest.raises(ConnectionRefusedError):
        server.connect()


PROGRAM = """
import sys, time, logging
from downstream.web.server import serve
def application(environment, start_response):
    print("asked", flush=True)
    time.sleep(1.0)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
serve(application, "127.0.0.1", 0, log=None, on_listening=lambda host, port: print(port, flush=True))
print("over", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_lets_the_request_under_way_finish(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            assert program.stdout.readline() == "asked\n"
            os.kill(program.pid, number)
            answer = answer_of(client)

        assert answer.endswith(b"done")
        assert program.stdout.readline() == "over\n"
        assert program.wait() == 0
