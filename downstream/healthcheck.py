"""The dead-man's handle: a watcher elsewhere hears that work goes on, and raises the alarm when it hears nothing.

``HEALTHCHECK_URL`` is a check's address as healthchecks.io gives it: ``URL/start`` when work begins, ``URL`` when a run
ended well, ``URL/fail`` when a person must see to something (https://healthchecks.io/docs/http_api/). A run that found
nothing to do tells of it too, every ten minutes at most: that says that cron runs, the heartbeat was read, the disk can
be written to, the queue was looked through and the shop tended. A paused run says nothing, so that a pause somebody
forgets becomes an alarm when the watcher's patience ends; what is wrong with the settings or the machine fails at once.

Part of the entry point: what is told follows from how the command ends. Nothing that goes wrong here stops a run.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from downstream.alerts import is_news, is_over
from downstream.domain.errors import Misconfigured, Paused
from downstream.domain.state import UNDELIVERED
from downstream.exit_codes import ExitCode
from downstream.files import write_durably
from downstream.queue import Queue
from downstream.settings import NO_SECRET, Secret, healthcheck_url, read_environment
from downstream.stamps import is_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVERY_SECONDS = 600
"""How often an idle tick tells that all is well."""
PATIENCE_SECONDS = 5.0
"""For one ping, whatever the watcher does."""
_SOCKET_SECONDS = 4.0

_START, _WELL, _BADLY = "/start", "", "/fail"
_SAID = {
    ExitCode.DONE: _WELL,
    ExitCode.NOTHING_TO_DO: _WELL,
    ExitCode.WAITING: _WELL,
    ExitCode.SOME_FAILED: _BADLY,
    ExitCode.MISCONFIGURED: _BADLY,
    ExitCode.FAULT: _BADLY,
}
"""What is told of a run that ends with this code; of any other nothing."""


@dataclass
class Watched:
    """One run that a watcher hears of."""

    home: Path
    tell: Callable[[str], None]
    """The operator reads the sentence."""
    is_working: bool = False
    has_trouble: bool = False
    """Something is wrong that the exit code does not tell."""
    only_trouble: bool = False
    """That it ended well is not told: a run of another kind may have told of trouble that lasts."""

    def begin(self) -> None:
        """The run has found work: the watcher is told, once."""
        if not self.is_working:
            self.is_working = True
            self._ping(_START)

    def end(self, code: int) -> None:
        """The watcher is told how the run ended, unless it had nothing to do and told of that a moment ago."""
        said = _SAID.get(ExitCode(code)) if code in set(ExitCode) else None
        if said is None:
            return
        said = _BADLY if self.has_trouble else said
        if self.only_trouble and said == _WELL:
            return
        try:
            if said == _WELL and not (self.is_working or wants_to_know(self.home)):
                return
            write_durably(_stamp(self.home), b"")  # that it can be written is a part of what is told
        except OSError:
            said = _BADLY
        heard = self._ping(said)
        if not heard or said == _BADLY:
            with suppress(OSError):  # the next run tells again
                _stamp(self.home).unlink(missing_ok=True)

    def _ping(self, said: str) -> bool:
        """The watcher heard it; also where there is none."""
        try:
            address = _address(self.home)
            if not address:
                return True
            answer = ping(address, said, counts(self.home))
            self._note(said, answer)
        except Exception as error:  # noqa: BLE001 - whatever becomes of a ping, the run goes on
            answer = type(error).__name__
        return answer == ""

    def _note(self, said: str, answer: str) -> None:
        """What came of it is in the log; that the watcher does not know us is told to the operator."""
        if not answer:
            if is_over(self.home, "healthcheck"):
                self.tell("all clear: the watcher at HEALTHCHECK_URL hears us again")
            return
        from downstream.log import open_log

        open_log(self.home, "processor").warning("watcher.not_told", said=said.strip("/") or "well", answer=answer)
        if answer.startswith("HTTP 4") and is_news(self.home, "healthcheck", datetime.now(UTC)):
            self.tell(f"the watcher at HEALTHCHECK_URL does not know us ({answer}): is the check still there?")


@contextmanager
def watched(home: Path, tell: Callable[[str], None], *, only_trouble: bool = False) -> Iterator[Watched]:
    """While this lasts a command runs; the watcher is told how it ends."""
    run = Watched(home, tell, only_trouble=only_trouble)
    try:
        yield run
    except SystemExit as end:
        run.end(end.code if isinstance(end.code, int) else ExitCode.FAULT)
        raise
    except Paused:
        raise
    except Exception:
        run.end(ExitCode.FAULT)
        raise
    run.end(ExitCode.DONE)


def wants_to_know(home: Path) -> bool:
    """It is time to tell a watcher again that all is well."""
    return is_due(_stamp(home), EVERY_SECONDS)


def is_set(home: Path) -> bool:
    """There is a watcher, or what should be its address."""
    try:
        return bool(_address(home))
    except Misconfigured:
        return True


def counts(home: Path) -> str:
    """What a ping carries: how many orders lie where, and nothing else."""
    queue = Queue(home)
    return ", ".join(f"{len(queue.names(state))} {state}" for state in UNDELIVERED)


def ping(address: Secret, said: str, body: str) -> str:
    """Empty when the watcher has heard it, else how it answered: in a few seconds, whatever it does."""
    answers: list[str] = []
    # A thread of its own: neither the look-up of a name nor an answer that drips has a limit otherwise.
    thread = threading.Thread(target=lambda: answers.append(_post(address, said, body)), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return answers[0] if answers else "no answer in time"


def _post(address: Secret, said: str, body: str) -> str:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(address.reveal())
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SOCKET_SECONDS)
    try:
        headers = {"User-Agent": "DownStream", "Content-Type": "text/plain; charset=utf-8"}
        connection.request("POST", f"{parts.path}{said}" or "/", body.encode(), headers)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return type(error).__name__  # its text may quote the address
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"HTTP {status}"


def _address(home: Path) -> Secret:
    environment = read_environment(home, os.environ)
    return healthcheck_url(environment) if environment.get("HEALTHCHECK_URL") else NO_SECRET


def _stamp(home: Path) -> Path:
    return home / "logs" / ".healthcheck"
