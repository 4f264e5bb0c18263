"""Serves the shop: waitress, with what the open internet needs and waitress leaves out.

waitress reads a request whole before a thread is given to it, so a slow client costs a connection and no thread. Three
things are added here. A whole request has a time by which it must have come: waitress only ends connections that are
silent, and one byte a minute is not silence. When all connections are taken, the one that has kept us waiting longest
makes room, so that idle ones never keep a customer out. A client that is refused while it still sends gets to read
why: closing at once, with its bytes unread, would throw the answer away (RFC 9112, section 9.6).
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.parser import HTTPRequestParser  # type: ignore[import-untyped]
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]

from downstream.domain.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from wsgiref.types import WSGIApplication

    from structlog.typing import FilteringBoundLogger

MAX_BODY_BYTES = 12_000_000
"""More than anything that is taken, so that the shop's own page says what is too large; a body waits in a file."""
MAX_HEADER_BYTES = 16_384
MAX_CONNECTIONS = 200
THREADS = 16
PATIENCE_SECONDS = 60.0
GRACE_SECONDS = 10.0
"""How long requests under way may take to finish once the server was asked to end."""

_LINGER_SECONDS = 5.0
_LINGER_BYTES = MAX_BODY_BYTES + 3_000_000
_NEWCOMERS = MAX_CONNECTIONS // 10
_OWN_SOCKETS = 2  # waitress counts the listening socket and its wake-up pipe as connections


def serve(
    application: WSGIApplication,
    host: str,
    port: int,
    *,
    log: FilteringBoundLogger,
    on_listening: Callable[[str, int], None],
    stop: threading.Event | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """The application was served until SIGTERM, SIGINT or ``stop``, and requests under way have been answered.

    ``on_listening`` is told where, once connections are taken: port 0 takes any free one. Requests that are larger
    than ``MAX_BODY_BYTES`` or ``MAX_HEADER_BYTES`` are refused (413, 431); silent connections, and requests that are
    not whole after ``patience_seconds``, are closed.

    A reverse proxy on this machine says who asks (``X-Forwarded-For``) and over which scheme (``X-Forwarded-Proto``);
    nobody else is believed, and nobody at all about the host. Whoever connects directly from this machine can claim
    to be the proxy.

    Raises:
        Misconfigured: nothing can listen there.
    """
    ending = stop or threading.Event()
    listening = _listen(host, port)
    with _logged_by(log), listening:
        server = _Server(application, listening, patience_seconds)
        with _set_by_signals(ending, server.pull_trigger):
            on_listening(*listening.getsockname()[:2])
            while not ending.is_set():
                server.look()
            server.finish()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Misconfigured(
            f"cannot listen on {host}, port {port} ({reason}): "
            "end the program that uses it, or choose another with --host and --port"
        ) from None


class _Request(HTTPRequestParser):  # type: ignore[misc] # waitress is not typed
    """A request as it comes in, which knows when it began: waitress makes one at the first byte."""

    def __init__(self, adjustments: Adjustments) -> None:
        super().__init__(adjustments)
        self.began_at = time.monotonic()

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self.completed:
            # Otherwise waitress would say "100 Continue" to a body it has just refused, and read on.
            self.expect_continue = False
        return consumed


class _Connection(HTTPChannel):  # type: ignore[misc]
    parser_class = _Request

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.waiting_since = time.monotonic()
        self.refused = False
        self.lingers_until: float | None = None
        self.lingered_bytes = 0

    def is_waiting(self) -> bool:
        """It is the client's turn: no request of it is worked on and no answer is on its way to it."""
        return not self.requests and not self.total_outbufs_len

    def is_overdue(self, now: float, patience_seconds: float) -> bool:
        """The client has had its time; it has it twice over for a rest and a request together."""
        if self.lingers_until is not None:
            return now > self.lingers_until
        if not self.is_waiting():
            return False  # a client that does not fetch its answer is silent, which waitress itself ends
        request = self.request
        began_at = self.waiting_since if request is None else request.began_at
        return now > min(began_at, self.waiting_since + patience_seconds) + patience_seconds

    def service(self) -> None:
        self.refused = self.requests[0].error is not None
        super().service()
        self.waiting_since = time.monotonic()

    def handle_write(self) -> None:
        super().handle_write()
        self.waiting_since = time.monotonic()

    def readable(self) -> bool:
        return self.lingers_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self.lingers_until is None:
            super().handle_read()
            return
        data = self.recv(self.adj.recv_bytes)
        self.lingered_bytes += len(data)
        if self.lingered_bytes > _LINGER_BYTES:
            self.handle_close()

    def handle_close(self) -> None:
        """Closes; a refused client first gets the end of the answer and some time to stop sending."""
        if self.refused and self.connected and self.lingers_until is None:
            self.lingers_until = time.monotonic() + _LINGER_SECONDS
            self.will_close = False
            with suppress(OSError):  # it has gone; the next read finds out
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Connection

    def __init__(self, application: WSGIApplication, listening: socket.socket, patience_seconds: float) -> None:
        self.patience_seconds = patience_seconds
        loopback = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
        super().__init__(
            application,
            _sock=listening,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            adj=Adjustments(
                threads=THREADS,
                ident=None,
                expose_tracebacks=False,
                log_socket_errors=False,
                max_request_header_size=MAX_HEADER_BYTES + 1,
                max_request_body_size=MAX_BODY_BYTES + 1,
                connection_limit=MAX_CONNECTIONS + _OWN_SOCKETS,
                channel_timeout=max(1, round(patience_seconds)),
                cleanup_interval=1,
                trusted_proxy=loopback,
                trusted_proxy_count=1,
                trusted_proxy_headers="x-forwarded-for x-forwarded-proto",
                clear_untrusted_proxy_headers=True,
            ),
        )

    def look(self) -> None:
        """One round: whatever has come or can be sent by now, waiting for it at most a second."""
        wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        self._close(lambda connection: connection.is_overdue(time.monotonic(), self.patience_seconds))
        self._make_room()

    def handle_accept(self) -> None:
        super().handle_accept()
        # Not before: the round goes on with what poll said of the old connection, by a number the new one would have.
        self._make_room()

    def _make_room(self) -> None:
        """A place is free, unless all connections are worked for or new: idle ones go first, then the slowest."""
        if len(self.active_channels) < MAX_CONNECTIONS:
            return
        waiting = [connection for connection in self.active_channels.values() if connection.is_waiting()]
        # The newest are let be: one that has just come has had no time to ask.
        settled = sorted(waiting, key=lambda connection: connection.waiting_since)[:-_NEWCOMERS]
        if settled:
            longest = min(settled, key=lambda connection: (connection.request is not None, connection.waiting_since))
            longest.refused = False
            longest.handle_close()

    def finish(self) -> None:
        """Nothing new is taken, and what has begun is answered, as far as ``GRACE_SECONDS`` allow."""
        wasyncore.dispatcher.close(self)  # only the listening socket: the rest is still needed
        deadline = time.monotonic() + GRACE_SECONDS
        while self.active_channels and time.monotonic() < deadline:
            self.look()
            self._close(lambda connection: connection.is_waiting() and connection.request is None)
        self.task_dispatcher.shutdown(timeout=max(1.0, deadline - time.monotonic()))  # idle threads end at once
        wasyncore.close_all(self._map)

    def _close(self, which: Callable[[_Connection], bool]) -> None:
        for connection in self.active_channels.values():
            if which(connection):
                connection.will_close = True


@contextmanager
def _set_by_signals(ending: threading.Event, wake: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C sets ``ending``; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        ending.set()
        wake()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Retold(logging.Handler):
    """waitress's warnings as events of our log: where and which error, without its words, which quote addresses."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "waitress.queue":
            return  # a request waits for a thread: no news
        error = record.exc_info[0] if record.exc_info else None
        self._log.warning(
            "web.trouble", where=f"{record.module}.{record.funcName}", error=error.__name__ if error else None
        )


@contextmanager
def _logged_by(log: FilteringBoundLogger) -> Iterator[None]:
    logger, handler = logging.getLogger("waitress"), _Retold(log)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
