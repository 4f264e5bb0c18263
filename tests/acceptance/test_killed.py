"""Killed at any instant and run again: every order ends where it should, once, and nothing finished is made again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import environment

KILLS = 50
LANES = 2
"""Tests that share the kills out among them, so that they can be run side by side."""
SMALL = {"CLIP_WIDTH": "64", "CLIP_HEIGHT": "36", "CLIP_SECONDS": "0.5", "SEGMENTS_AT_ONCE": "2"}


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The real program, running."""
    command = [sys.executable, "-m", "downstream", "--home", str(home), *arguments]
    return subprocess.Popen(command, env=environment(**SMALL), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def outcomes(home: Path, stream_id: str) -> Counter[tuple[str, str]]:
    """How often each call came to its end, by name and inputs."""
    lines = (home / "streams" / stream_id / "receipts.jsonl").read_text().splitlines()
    parsed = [json.loads(line) for line in lines]
    return Counter((line["call"], line["inputs"]) for line in parsed if line["phase"] == "outcome")


def put(home: Path, stream_id: str) -> None:
    """A job to make."""
    job = {"stream_id": stream_id, "customer_email": "test@test.com"}
    (home / "jobs/pending" / f"{stream_id}.json").write_text(json.dumps(job))


def uninterrupted_seconds(home: Path) -> float:
    """How long a job takes when nobody kills it."""
    put(home, "whole")
    started = time.monotonic()
    assert start(home, "process").wait(120) == 0
    return time.monotonic() - started


def kill_and_run_again(home: Path, stream_id: str, after_seconds: float) -> None:
    """One job, killed once, then carried to its end; every claim about it is checked."""
    put(home, stream_id)
    running = start(home, "process")
    time.sleep(after_seconds)
    running.send_signal(signal.SIGKILL)
    running.wait()

    again = start(home, "process")
    _, said = again.communicate(timeout=120)

    assert again.returncode in {0, 3}, said  # 3: it had been finished before it was killed
    assert [path.parent.name for path in (home / "jobs").glob(f"*/{stream_id}.json")] == ["review"]
    job = json.loads((home / "jobs/review" / f"{stream_id}.json").read_bytes())
    assert job.get("recoveries", 0) <= 1
    assert [entry["target"] for entry in job["history"] if entry["what"] == "moved"] == ["review"]
    repeated = {call: count for call, count in outcomes(home, stream_id).items() if count > 1}
    assert not repeated


@pytest.mark.parametrize("lane", range(LANES))
def test_process_killed_at_random_instants_always_ends_in_review_once(home: Path, lane: int) -> None:
    instants = random.Random(20261123 + lane)
    whole = uninterrupted_seconds(home)

    for kill in range(KILLS // LANES):
        kill_and_run_again(home, f"kill-{kill:02d}", instants.uniform(0, whole))


_DIES_AT_THE_NTH = textwrap.dedent(
    """
    import os, signal, sys

    left = int(sys.argv.pop(1))

    def dying(real):
        def call(*arguments, **options):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        return call

    os.fsync, os.rename, os.replace, os.unlink = map(dying, (os.fsync, os.rename, os.replace, os.unlink))
    from downstream.cli import main

    main()
    """
)
"""The program, killed just before the n-th time it makes something durable or gives it its name."""


def test_review_killed_before_every_durable_write_delivers_exactly_once(
    home: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for instant in range(1, 200):
        stream_id = f"order-{instant:03d}"
        _copy_finished(home, stream_id, run)
        died = subprocess.run(
            [sys.executable, "-c", _DIES_AT_THE_NTH, str(instant), "--home", str(home), "review"],
            env=environment(**SMALL),
            capture_output=True,
            timeout=120,
            check=False,
        )
        again = run("review", **SMALL)

        assert again.returncode in {0, 3}, again.stderr
        assert [path.parent.name for path in (home / "jobs").glob(f"*/{stream_id}.json")] == ["completed"]
        job = json.loads((home / "jobs/completed" / f"{stream_id}.json").read_bytes())
        assert Counter(entry["what"] for entry in job["history"]) == {
            "moved": 2, "approved": 1, "published": 1, "verified": 1, "mailed": 1,
        }  # fmt: skip
        assert len(list((home / "streams" / stream_id / "mail").glob("*.eml"))) == 1
        assert max(outcomes(home, stream_id).values()) == 1
        if died.returncode == 0:  # it came to its end before the n-th write: every instant was tried
            assert instant > 20
            return
        assert died.returncode == -signal.SIGKILL
    pytest.fail("the review never came to its end")


def _copy_finished(home: Path, stream_id: str, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A job waiting in review, made once and then copied under other names."""
    model = home / "model"
    if not model.exists():
        put(home, "model")
        assert run("process", **SMALL).returncode == 0
        (home / "jobs/review/model.json").rename(home / "model.json")
        (home / "streams/model").rename(model)
    subprocess.run(["cp", "-r", str(model), str(home / "streams" / stream_id)], check=True)
    for name in ("input.json", "production.json", "page/index.html"):
        path = home / "streams" / stream_id / name
        _rename_inside(path, path, stream_id)
    _rename_inside(home / "model.json", home / "jobs/review" / f"{stream_id}.json", stream_id)


def _rename_inside(source: Path, target: Path, stream_id: str) -> None:
    text = source.read_text("utf-8")
    target.write_text(text.replace('"model"', f'"{stream_id}"'), "utf-8")


_SIGNALLED_AT_ITS_FIRST_KEYFRAME = textwrap.dedent(
    """
    import os, sys
    import downstream.receipts

    signals = [int(sys.argv.pop(1))]
    write = downstream.receipts.append_durably

    def signalling(path, line):
        write(path, line)
        if signals and b"keyframes" in line:
            os.kill(os.getpid(), signals.pop())

    downstream.receipts.append_durably = signalling
    from downstream.cli import main

    main()
    """
)
"""The program, sent a signal when its receipts first tell of a keyframe."""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_run_asked_to_end_gives_its_job_back_and_the_next_run_goes_on(home: Path, sent: signal.Signals) -> None:
    put(home, "test")

    ended = subprocess.run(
        [sys.executable, "-c", _SIGNALLED_AT_ITS_FIRST_KEYFRAME, str(int(sent)), "--home", str(home), "process"],
        env=environment(**SMALL),
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 128 + sent
    assert ended.stderr == b""
    assert not list((home / "jobs/processing").iterdir())
    kept = outcomes(home, "test")
    assert start(home, "process").wait(120) == 0
    job = json.loads((home / "jobs/review/test.json").read_bytes())
    assert job.get("recoveries", 0) == 0
    assert kept.items() <= outcomes(home, "test").items()
