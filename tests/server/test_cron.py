"""The real cron daemon with the lines that were installed, and nothing else.

So that nobody waits for a Sunday, the tree has a clock of its own: libfaketime puts one offset between this machine's
time and that of every program in the tree, cron among them, and the test moves it on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server.conftest import SetUp
    from server.tree import Tree

PATIENCE_SECONDS = 240
SMALL_CLIPS = "\nCLIP_WIDTH=160\nCLIP_HEIGHT=90\nCLIP_SECONDS=1\nCLIP_FRAMES_PER_SECOND=12\nTIMEZONE=UTC\n"


def sunday_before_the_first() -> datetime:
    """The evening of the next Sunday that ends its month or not: what counts is that days, weeks and months end."""
    today = datetime.now(UTC).replace(hour=19, minute=59, second=40, microsecond=0)
    return today + timedelta(days=7 + 6 - today.weekday())


class Clock:
    """What time it is in the tree."""

    def __init__(self, tree: Tree) -> None:
        self._path = tree.root / "etc" / "faketimerc"

    def set(self, moment: datetime) -> None:
        """It is that moment now, and time goes on from there."""
        ahead = round((moment - datetime.now(UTC)).total_seconds())
        self._path.write_text(f"{ahead:+d}\n")


def wait_for(fact: Callable[[], object], what: str) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


@pytest.fixture
def clock(setup: SetUp) -> Iterator[Clock]:
    """The tree's own clock, and an installation of small clips."""
    tree = setup.tree
    tree.setup()
    tree.run("apt-get", "-qq", "update")
    tree.run("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "faketime")
    with (tree.home / ".env").open("a") as settings:
        settings.write(SMALL_CLIPS)
    clock = Clock(tree)
    clock.set(sunday_before_the_first())
    (library,) = tree.root.glob("usr/lib/*/faketime/libfaketime.so.1")
    (tree.root / "etc/ld.so.preload").write_text(f"/{library.relative_to(tree.root)}\n")
    tree.run("downstream", "heartbeat", "renew", "--every", "300")
    yield clock
    (tree.root / "etc/ld.so.preload").unlink()


@contextmanager
def cron(tree: Tree) -> Iterator[None]:
    """The daemon runs, as the system starts it."""
    daemon = subprocess.Popen(tree.command("cron", "-f", "-L", "15"), start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        yield
        assert daemon.poll() is None
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)  # with it goes its whole process namespace
        daemon.wait()


def drop(tree: Tree, stream_id: str, **fields: object) -> None:
    """A job as an operator drops it."""
    job = json.dumps({"stream_id": stream_id, "customer_email": "test@test.com", **fields})
    path = f"/opt/downstream/jobs/pending/{stream_id}.json"
    tree.run("runuser", "-u", "downstream", "--", "sh", "-c", 'printf %s "$1" > "$2"', "drop", job, path)


def mails(tree: Tree) -> list[str]:
    """What cron has mailed to the user."""
    box = tree.root / "var" / "mail" / "downstream"
    return box.read_text().split("\nFrom ") if box.exists() and box.stat().st_size else []


def lies_in(tree: Tree, state: str, stream_id: str) -> Callable[[], bool]:
    return (tree.home / "jobs" / state / f"{stream_id}.json").exists


def reports(tree: Tree) -> list[Path]:
    return sorted((tree.home / "logs" / "reviews").glob("*.md"))


def test_cron_alone_makes_the_page_writes_the_reports_and_mails_only_what_failed(setup: SetUp, clock: Clock) -> None:
    tree, sunday = setup.tree, sunday_before_the_first()
    drop(tree, "test")
    with cron(tree):
        wait_for(lies_in(tree, "review", "test"), "process, at 20:00")
        wait_for(lambda: any("W" in path.name for path in reports(tree)), "the weekly review, at 20:00")
        clock.set(sunday.replace(hour=20, minute=14, second=45))
        wait_for(lies_in(tree, "completed", "test"), "review, at 20:15")
        clock.set(sunday.replace(hour=22, minute=59, second=45))
        wait_for(lambda: any(f"{sunday:%Y-%m-%d}" in path.name for path in reports(tree)), "the daily review, at 23:00")
        first = (sunday + timedelta(days=31)).replace(day=1)
        clock.set(first.replace(hour=9, minute=59, second=45))
        wait_for(lambda: any(path.name.startswith("monthly") for path in reports(tree)), "the monthly review, at 10:00")
        assert mails(tree) == []

        drop(tree, "bad", input_path="/streams/bad/nowhere.json")
        clock.set(first.replace(hour=10, minute=4, second=45))
        wait_for(lies_in(tree, "failed", "bad"), "process, at 10:05")
        wait_for(lambda: mails(tree), "cron's mail")
        clock.set(first.replace(hour=10, minute=9, second=45))
        drop(tree, "good")
        wait_for(lies_in(tree, "review", "good"), "process, at 10:10")

    assert (tree.home / "streams/test/public/index.html").exists()
    (mail,) = mails(tree)
    assert "Subject: Cron <downstream@" in mail
    assert "bad failed: " in mail
    assert "downstream show bad" in mail
    assert mail.count("bad failed: ") == 1
