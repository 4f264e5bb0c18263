"""The system's Chromium, driven by tests, and ended where it does not answer: its driver would wait for ever."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Playwright

PATIENCE_SECONDS = 60
"""For what is to come true in a page: on a busy machine nothing has a time of its own."""
MOST_SECONDS = 120
"""Many times what any test needs of a browser, on a busy machine too."""


def launch(playwright: Playwright) -> Browser:
    """A running browser without a window; ``expect`` has patience with its pages."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=[
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    )


@contextmanager
def answering(browser: Browser, most_seconds: float = MOST_SECONDS) -> Iterator[None]:
    """What is done with the browser comes to an end: after ``most_seconds`` it is killed, and all its calls fail.

    Neither a script in a page nor closing one has a time-out of its own in the driver.
    """
    process_id = _process_id(browser)
    gave_up = threading.Event()

    def end() -> None:
        gave_up.set()
        os.kill(process_id, signal.SIGKILL)

    timer = threading.Timer(most_seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        assert not gave_up.is_set(), f"the browser did not come to an end in {most_seconds} seconds and was killed"


def _process_id(browser: Browser) -> int:
    """The browser's first process; with it all others end."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    return next(int(process["id"]) for process in told["processInfo"] if process["type"] == "browser")
