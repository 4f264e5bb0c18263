"""``downstream serve``: the shop on its port, and a thread that sends the letters orders wait for."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from downstream import outbox
from downstream.domain.errors import DownstreamError, Paused
from downstream.log import where
from downstream.shop import counter
from downstream.suppliers import open_shop
from downstream.web.app import make_app
from downstream.web.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from downstream.settings import Settings
    from downstream.shop.shop import Shop

LOOK_EVERY_SECONDS = 20.0
"""How long a letter may wait that nobody called for: one put off, or one that another process left."""
TIDY_EVERY_SECONDS = 3600.0


def run(
    home: Path,
    settings: Settings,
    log: FilteringBoundLogger,
    *,
    host: str,
    port: int,
    on_listening: Callable[[str, int, Shop], None],
) -> None:
    """The shop has been served until somebody asked this process to end.

    Raises:
        Misconfigured: the port is taken, or a setting is wrong.
    """
    shop, wake = open_shop(home, settings, log, partial(_leave_for_cron, home, settings)), threading.Event()
    with _errand_thread(shop, wake):
        app = make_app(shop, after_change=wake.set)
        serve(app, host, port, log=log, on_listening=lambda host, port: on_listening(host, port, shop))


def _leave_for_cron(home: Path, settings: Settings, sentence: str) -> None:
    """The next command prints the sentence, where nobody mails it: this process has no operator before it."""
    if not (settings.operator_email and settings.smtp_url):
        with suppress(OSError):
            outbox.leave(home, [sentence], datetime.now(UTC))


@contextmanager
def _errand_thread(shop: Shop, wake: threading.Event) -> Iterator[None]:
    """Errands are worked off while this lasts: at once when ``wake`` is set, else every now and then."""
    ended = threading.Event()
    thread = threading.Thread(target=_run_errands, args=(shop, wake, ended), name="errands", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        wake.set()
        thread.join(10.0)  # a letter under way; what is cut off here is known as unknown by its receipt


def _run_errands(shop: Shop, wake: threading.Event, ended: threading.Event) -> None:
    tidied_at = float("-inf")
    while not ended.is_set():
        wake.clear()
        try:
            counter.work_off(shop)
            outbox.send(shop.home, shop.settings)
            if time.monotonic() - tidied_at > TIDY_EVERY_SECONDS:
                tidied_at = time.monotonic()
                shop.orders.expire(shop.clock())
        except Paused:
            pass  # the letters wait
        except DownstreamError as error:
            shop.log.warning("errands.stopped", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the shop stays open whatever becomes of one letter
            shop.log.warning("errands.unexpected", **where(error))
        wake.wait(LOOK_EVERY_SECONDS)
