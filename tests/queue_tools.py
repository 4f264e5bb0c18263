"""What the tests of the queue have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from downstream.domain.state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from downstream.queue import Claim, Queue

NOW = datetime(2026, 1, 6, 15, 0, tzinfo=UTC)
EARLIER = "2026-01-06T14:00:00Z"


def lying(home: Path) -> dict[str, list[str]]:
    """Stream id to every folder a file of that name lies in."""
    found: dict[str, list[str]] = {}
    for state in State:
        for path in (home / "jobs" / state).glob("*.json"):
            found.setdefault(path.stem, []).append(state)
    return found


def served(queue: Queue, *, live: bool = True, now: datetime = NOW) -> list[str]:
    """The ids of all jobs that can be claimed now, in the order of service; each is moved on to ``review``."""
    ids = []
    while (claim := queue.claim_next(live=live, now=now)) is not None:
        ids.append(claim.job.stream_id)
        claim.advance(claim.job, State.REVIEW, at=now, who="test")
    return ids


def claimed(queue: Queue) -> Claim:
    """The next job, which has to be there."""
    claim = queue.claim_next(live=True, now=NOW)
    assert claim is not None
    return claim


def put(home: Path, state: str, stream_id: str, **fields: Any) -> Path:
    """A job file in any folder."""
    path = home / "jobs" / state / f"{stream_id}.json"
    path.write_text(json.dumps({"stream_id": stream_id, "customer_email": "test@test.com", **fields}))
    return path


def in_child(do: Callable[[], object]) -> int:
    """Runs ``do`` in a process of its own; returns its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException:  # noqa: BLE001 - the child must never run on into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def python(home: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """A script in a process of its own, with ``home`` and ``queue`` at hand."""
    head = textwrap.dedent("""\
        import os, sys, time, json, signal
        from datetime import UTC, datetime
        from pathlib import Path
        from downstream.domain.state import State
        from downstream.queue import Queue
        home, now = Path(sys.argv[1]), datetime(2026, 1, 6, 15, 0, tzinfo=UTC)
        queue = Queue(home)
        """)
    command = [sys.executable, "-c", head + textwrap.dedent(script), str(home), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
