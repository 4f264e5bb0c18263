"""Fixtures every test may want: an installation in a temporary folder, jobs to drop, the real program to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import answering, launch

from downstream.installation import lay_out
from downstream.ledger import Caps, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

STORIES = Path(__file__).parent / "stories"

SMALL_CLIPS = {
    "CLIP_WIDTH": "160",
    "CLIP_HEIGHT": "90",
    "CLIP_SECONDS": "1",
    "CLIP_FRAMES_PER_SECOND": "12",
    "TIMEZONE": "UTC",
}
"""The real providers and encoders on pictures small enough for many runs."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A new installation."""
    folder = tmp_path / "home"
    lay_out(folder, today=datetime.now(UTC).date(), program="downstream")
    return folder


@pytest.fixture
def drop(home: Path) -> Callable[..., Path]:
    """Puts a job file into ``jobs/pending`` the way an operator does."""

    def put(stream_id: str = "test", **fields: Any) -> Path:
        path = home / "jobs" / "pending" / f"{stream_id}.json"
        path.write_text(json.dumps({"stream_id": stream_id, "customer_email": "test@test.com", **fields}))
        return path

    return put


@pytest.fixture
def hand_in(home: Path) -> Callable[..., Path]:
    """Puts a story into its stream's folder."""

    def put(stream_id: str, text: str, **fields: Any) -> Path:
        path = home / "streams" / stream_id / "input.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        story = {"id": stream_id, "title": "A story", "language": "en", "text": text, **fields}
        path.write_text(json.dumps(story, ensure_ascii=False), "utf-8")
        return path

    return put


def books(home: Path) -> dict[str, Any]:
    """What a run needs to spend money, for runs that spend none."""
    caps = Caps(per_call_micros=0, per_day_micros=0, per_month_micros=0)
    return {
        "ledger": Ledger(home, caps=caps, timezone="UTC", clock=lambda: datetime.now(UTC)),
        "most_micros": lambda _: 0,
    }


def environment(**settings: str) -> dict[str, str]:
    """The machine's environment without any settings of ours, and small clips."""
    ours = {"DOWNSTREAM_HOME", "REVIEW_POLICY", "JOBS_AT_ONCE", "SEGMENTS_AT_ONCE"}
    return {key: value for key, value in os.environ.items() if key not in ours} | SMALL_CLIPS | settings


@pytest.fixture
def run(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real program on the installation and returns how it ended."""

    def call(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "downstream", "--home", str(home), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(**settings),
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def browsers() -> Iterator[Callable[[], Browser]]:
    """Says which browser runs: always the same one, or the next where it was killed.

    A process can have the driver once only, so that whoever wants a browser takes it from here.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = launch(playwright)

        def running_one() -> Browser:
            nonlocal running
            if not running.is_connected():
                running = launch(playwright)
            return running

        yield running_one
        with answering(running_one()):
            running.close()


@pytest.fixture
def browser(browsers: Callable[[], Browser]) -> Iterator[Browser]:
    """The system's Chromium, which is killed if the test does not come to an end with it."""
    running = browsers()
    with answering(running):
        yield running
