"""Runs the program again and again from one loaded process, each time killed at a moment that the caller names.

Reads one JSON object a line: ``arguments``, ``environment``, ``kill_at`` (a moment, or null) and ``output`` (a file).
With ``instead`` (a command) that command is run at the moment, and the program goes on when it has ended.
With ``patience`` (places, and seconds for each) the program waits no longer than that: ``shorten``.
Answers with one: ``code`` (negative: the signal), and the ``moments`` that were met, in order.

A moment is just before or just after a line is added to the receipts or the ledger, or a request is made of a service:
``before receipt intent clips/03``, ``after POST /v1/files #2``.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import av
import httpcore
import httpcore2
import httpx
import httpx2
import numpy as np
import replicate.client
import requests
import structlog
import truststore
from google import genai
from PIL import Image

import downstream.cli
import downstream.ledger
import downstream.providers.claude
import downstream.providers.gemini.director
import downstream.providers.gemini.editor
import downstream.providers.gemini.judge
import downstream.providers.gemini.keyframes
import downstream.providers.minimax
import downstream.providers.smtp
import downstream.providers.vercel
import downstream.receipts
import downstream.stages.process
import downstream.stages.review
import downstream.suppliers

if TYPE_CHECKING:
    from collections.abc import Callable

LOADED = (av, genai, httpcore, httpcore2, Image.init(), np, replicate.client, structlog, truststore)
"""Loaded once, for every run."""

_ID = re.compile(r"(?<=/)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{6,}|(?<=/)(?:story-|prj_|dpl_)[^/?]*")


class Moments:
    """Counts the moments of one run, and ends it at one of them."""

    def __init__(self, kill_at: str | None, report: int, instead: list[str]) -> None:
        self._kill_at = kill_at
        self._instead = instead
        self._report = report
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def wrap(self, owner: Any, name: str, label: Callable[..., str]) -> None:
        """Calls of ``owner.name`` have a moment before and one after them."""
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            what = self._numbered(label(*arguments, **more))
            self._reach(f"before {what}")
            result = original(*arguments, **more)
            self._reach(f"after {what}")
            return result

        setattr(owner, name, wrapped)

    def _numbered(self, what: str) -> str:
        with self._lock:
            self._seen[what] += 1
            return f"{what} #{self._seen[what]}"

    def _reach(self, moment: str) -> None:
        os.write(self._report, f"{moment}\n".encode())
        if moment == self._kill_at and self._instead:
            subprocess.run(self._instead, check=True)
        elif moment == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(moments: Moments) -> None:
    """Every receipt, every line of the ledger and every request is a moment."""

    def line(path: Any, data: bytes) -> str:
        entry = json.loads(data)
        return f"{'receipt' if 'phase' in entry else 'ledger'} {entry.get('phase') or entry['what']} {entry['call']}"

    def request(method: str, path: str) -> str:
        return f"{method} {_ID.sub('*', path.partition('?')[0])}"

    moments.wrap(downstream.receipts, "append_durably", line)
    moments.wrap(downstream.ledger, "append_durably", line)
    for kit in (httpx, httpx2):
        moments.wrap(kit.HTTPTransport, "handle_request", lambda _, sent: request(sent.method, sent.url.path))
    moments.wrap(
        requests.adapters.HTTPAdapter,
        "send",
        lambda _, sent, **more: request(sent.method or "", sent.path_url),  # noqa: ARG005
    )
    moments.wrap(smtplib.SMTP, "data", lambda *_: "SMTP DATA")


def shorten(place: str, seconds: float) -> None:
    """The program's patience at ``place`` is ``seconds``.

    A place is ``module:CONSTANT`` (a number, the time-out of an HTTP client, or keywords of a request), or
    ``module:Class.argument`` (a keyword the class is made with when nobody says otherwise).
    """
    module_name, _, name = place.partition(":")
    module = importlib.import_module(module_name)
    owner, _, argument = name.partition(".")
    found = getattr(module, owner)
    if argument:
        found.__init__.__kwdefaults__[argument] = type(found.__init__.__kwdefaults__[argument])(seconds)
    elif isinstance(found, dict):
        found["timeout"] = type(found["timeout"])([seconds, seconds])
    else:
        setattr(module, owner, type(found)(seconds))


def run(order: dict[str, Any]) -> dict[str, Any]:
    """One run in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        for place, seconds in order.get("patience", {}).items():
            shorten(place, seconds)
        watch(Moments(order["kill_at"], writing, order.get("instead", [])))
        sys.argv = ["downstream", *order["arguments"]]
        try:
            downstream.cli.main()
        except SystemExit as end:
            os._exit(int(end.code or 0))
        finally:
            os._exit(99)
    os.close(writing)
    with os.fdopen(reading) as report:
        moments = report.read().splitlines()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "moments": moments}


if __name__ == "__main__":
    for given in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(given))) + "\n")
        sys.stdout.flush()
