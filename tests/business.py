"""A small business made of files alone: an order in every state."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from downstream.domain.job import Job
from downstream.domain.state import State
from downstream.files import private_folder
from downstream.queue import Queue
from downstream.receipts import Receipts

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 24, 10, 20, tzinfo=UTC)
ORDERS = {f"order-{state}": state for state in State}


def add_order(home: Path, stream_id: str, state: str) -> None:
    """A job with its stream: a story, receipts, a clip and a page."""
    job = Job(stream_id=stream_id, customer_email="reader@customer.example", paid_amount=49, paid_at=NOW)
    Queue(home).enqueue(job, State.PENDING)
    Queue(home).path(State.PENDING, stream_id).rename(Queue(home).path(state, stream_id))
    stream = home / "streams" / stream_id
    write(stream / "input.json", '{"title": "The harbour"}')
    write(stream / "clips" / "01.mp4", f"a clip of {stream_id}")
    write(stream / "page" / "index.html", f"the page of {stream_id}")
    write(stream / "page" / ".half.tmp", "not yet")
    (stream / "public").symlink_to("page")
    receipts = Receipts(stream / "receipts.jsonl")
    for call, name in (("clips/01", "clips/01.mp4"), ("page", "page/index.html")):
        receipts.settle(receipts.intend(call, "hash", "somebody"), outputs=[stream / name], cost_micros=5)


def write(path: Path, text: str) -> Path:
    """The file has the text, and is a day old."""
    private_folder(path.parent)
    path.write_text(text, "utf-8")
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def story_of(lines: bytes) -> list[str]:
    """What happened, by a file of receipts."""
    return [f"{one['phase']} {one['call']}" for one in map(json.loads, lines.splitlines())]
