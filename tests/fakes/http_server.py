"""HTTP/1.1 on loopback: many ports, keep-alive, a thread for each connection, and replies that break off on purpose."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent. ``headers`` have lower-case names; ``path`` is unquoted."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def _nobody(_moment: str) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Answer:
    """What the client gets, when, and how much of it."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    sent_share: float | None = None
    """The part of the body that is sent before the connection breaks (0-1); none of the reply at all when negative."""
    tell: Callable[[str], None] = _nobody
    """Hears ``before_reply`` and ``after_reply``."""

    @classmethod
    def of_json(cls, status: int, document: object, **headers: str) -> Self:
        """An answer with a JSON body; ``retry_after="3"`` becomes the header ``retry-after``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = json.dumps(document, ensure_ascii=False).encode()
        return cls(status, body, {"content-type": "application/json; charset=utf-8"} | named)

    @classmethod
    def nothing(cls) -> Self:
        """The connection breaks without a byte of reply."""
        return cls(0, sent_share=-1.0)

    @property
    def document(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body) if self.body else None


class HttpServer:
    """Answers every request on every port it has opened with ``respond``."""

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self.respond = respond
        self._stopping = Event()
        self._listeners: list[tuple[socket.socket, Thread]] = []
        self._connections: set[socket.socket] = set()

    def open_port(self) -> str:
        """Listens on a new port. Returns ``127.0.0.1:port``."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        thread = Thread(target=self._accept, args=(listener,), daemon=True)
        self._listeners.append((listener, thread))
        thread.start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def stop(self) -> None:
        """Closes all ports and connections; replies still waited for break off."""
        self._stopping.set()
        for listener, thread in self._listeners:
            socket.create_connection(listener.getsockname()).close()  # wakes the thread in accept
            thread.join()
            listener.close()
        for connection in list(self._connections):
            _break(connection)

    @property
    def is_stopping(self) -> bool:
        """Whether nobody is answered any more."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, earlier when the server stops."""
        if seconds > 0:
            self._stopping.wait(seconds)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, address = listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            self._connections.add(connection)
            Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):  # the client went away, or was killed: its own affair
            _Exchange(connection, address, self)  # type: ignore[arg-type]
        self._connections.discard(connection)
        connection.close()


class _Exchange(BaseHTTPRequestHandler):
    """One connection with its requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: HttpServer  # type: ignore[assignment]

    def answer(self) -> None:
        reply = self.server.respond(self._request())
        self.server.wait(reply.wait_seconds)
        if self.server.is_stopping or (reply.sent_share is not None and reply.sent_share < 0):
            self._break_off()
        else:
            reply.tell("before_reply")
            self._send(reply)
            reply.tell("after_reply")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - named by the library

    def log_message(self, *_arguments: object) -> None:
        """Tests are quiet."""

    def version_string(self) -> str:
        return "fake"

    def _request(self) -> Request:
        address = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # its client was killed over it: half a request is none
            raise ConnectionAbortedError
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, unquote(address.path), address.query, headers, body)

    def _send(self, reply: Answer) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        share = 1.0 if reply.sent_share is None else reply.sent_share
        if self.command != "HEAD":
            self.wfile.write(reply.body[: int(len(reply.body) * share)])
        self.wfile.flush()
        if reply.sent_share is not None:
            self._break_off()

    def _break_off(self) -> None:
        self.close_connection = True
        _break(self.connection)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already gone
        connection.shutdown(socket.SHUT_RDWR)
