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

from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Callable

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
