"""Many runs at once share the work: each job is made once, none is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import environment

RUNS = 8
JOBS = 40


def test_eight_runs_at_once_make_forty_jobs_once_each(home: Path) -> None:
    for number in range(JOBS):
        job = {"stream_id": f"job-{number:02d}", "customer_email": "test@test.com"}
        (home / "jobs/pending" / f"job-{number:02d}.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    settings = environment(
        JOBS_AT_ONCE="8", SEGMENTS_AT_ONCE="1", CLIP_WIDTH="64", CLIP_HEIGHT="36", CLIP_SECONDS="0.5"
    )

    running = [subprocess.Popen(command, env=settings, stderr=subprocess.PIPE) for _ in range(RUNS)]
    ended = [one.communicate(timeout=400)[1] for one in running]

    assert ended == [b""] * RUNS
    assert {one.returncode for one in running} <= {0, 3}
    assert len(list((home / "jobs/review").glob("*.json"))) == JOBS
    for state in ("pending", "processing", "completed", "failed"):
        assert not list((home / "jobs" / state).glob("*.json"))
    for number in range(JOBS):
        receipts = (home / "streams" / f"job-{number:02d}" / "receipts.jsonl").read_text().splitlines()
        calls = Counter((line["call"], line["phase"]) for line in map(json.loads, receipts))
        assert set(calls.values()) == {1}
        job = json.loads((home / "jobs/review" / f"job-{number:02d}.json").read_bytes())
        assert "recoveries" not in job


def test_no_more_jobs_are_made_at_once_than_the_machine_has_places(home: Path) -> None:
    for number in range(6):
        job = {"stream_id": f"job-{number}", "customer_email": "test@test.com"}
        (home / "jobs/pending" / f"job-{number}.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    settings = environment(JOBS_AT_ONCE="1")

    running = [subprocess.Popen(command, env=settings) for _ in range(4)]
    most = 0
    while any(one.poll() is None for one in running):
        most = max(most, len(list((home / "jobs/processing").glob("*.json"))))
        time.sleep(0.01)  # a job lies there for a hundred times as long

    assert most == 1
    assert len(list((home / "jobs/review").glob("*.json"))) == 6
