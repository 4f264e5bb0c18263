"""How close live orders come to their critical path: the services' latencies one after the other, and nothing else.

python bench/order.py

Starts the fake services with the latencies of the real ones divided by twenty (keyframe 12 s, clip 180 s, upload 50 ms,
and, assumed, text 8 s, deployment 20 s) and runs the real program on one order of ten segments, and on three at once.
Prints seconds, by the log and by the clock on the wall, and the ratios; ends with exit code 1 when one order takes more
than 1.15 of its critical path, or three at once more than twice as long as one.

Left out: what a real order computes (pictures and clips are tiny, so that waiting is measured and not drawing, encoding
or uploading; bench/demo.py shows that part), the start and end of the program (shown, but not in the ratios), the time
until cron's next run, the pauses a service's pace asks for (no quota is reached), and whatever goes wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.services import Services
from fakes.vercel import FakeVercel
from live import Shop, answer, plan

from downstream.installation import lay_out

SCALE = 20
KEYFRAME_SECONDS, CLIP_SECONDS, UPLOAD_SECONDS = 12 / SCALE, 180 / SCALE, 0.05 / SCALE
TEXT_SECONDS, DEPLOY_SECONDS = 8 / SCALE, 20 / SCALE
SEGMENTS = 10
STORY = "\n\n".join(
    f"On the {day} day the harbour woke before the light did, and the old pilot counted the boats twice. " * 14
    for day in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
)
MOST_OF_CRITICAL_PATH = 1.15
MOST_OF_ONE_ORDER = 2.0
"""What three orders at once may take."""
SETTINGS = {"CLIP_WIDTH": "112", "CLIP_HEIGHT": "62", "CLIP_SECONDS": "0.5", "GEMINI_PER_MINUTE": "600"}


def critical_path_seconds() -> float:
    """What no order can be quicker than: each call that needs the answer to the one before it.

    Screening, plan, cast sheet, each keyframe after the one before it, judgement, one clip (all wait side by side), its
    upload, judgement, one upload of the page's files, deployment.
    """
    text = 4 * TEXT_SECONDS
    return text + (1 + SEGMENTS) * KEYFRAME_SECONDS + 2 * UPLOAD_SECONDS + CLIP_SECONDS + DEPLOY_SECONDS


def in_ten_segments(request: dict[str, Any]) -> dict[str, Any]:
    """As good a model as the tests', which plans ten segments."""
    found = answer(request)
    if "sections" not in found:
        return found
    words = "\n".join(part.get("text", "") for content in request["contents"] for part in content["parts"])
    return plan(words, SEGMENTS)


def services() -> Services:
    """The services, a twentieth as slow as the real ones."""
    return Services(
        gemini=FakeGemini(
            picture_size=(112, 63), keyframe_latency_seconds=KEYFRAME_SECONDS, text_latency_seconds=TEXT_SECONDS
        ),
        replicate=FakeReplicate(
            clip_size=(112, 62),
            clip_seconds=0.5,
            clip_frames_per_second=12,
            smallest_side=60,
            clip_latency_seconds=CLIP_SECONDS,
            upload_latency_seconds=UPLOAD_SECONDS,
            time_scale=1 / SCALE,
        ),
        vercel=FakeVercel(upload_latency_seconds=UPLOAD_SECONDS, deploy_latency_seconds=DEPLOY_SECONDS),
    )


class Taken(NamedTuple):
    """The seconds of both stages: from the first line of their logs to the last, and those of their processes."""

    worked: float
    wall: float


def measure(orders: int, folder: Path) -> Taken:
    """What so many orders take together, from the first claim to the last letter.

    The start of the program is not work: cron starts it, and it takes as long for any number of orders.
    """
    home = folder / f"{orders}-orders"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    with services() as running:
        shop = Shop(home, running, SETTINGS)
        running.gemini.text_answer = in_ten_segments
        for number in range(orders):
            shop.order(f"order-{number}", STORY)
        environment = shop.environment() | {"SEGMENTS_AT_ONCE": str(os.cpu_count() or 2)}
        seconds = wall = 0.0
        for stage, log in (("process", "processor"), ("review", "reviewer")):
            command = [sys.executable, "-m", "downstream", "--home", str(home), stage]
            started = time.perf_counter()
            subprocess.run(command, check=True, env=environment)
            whole = time.perf_counter() - started
            worked = show_stage(home / "logs" / f"{log}.log", show_steps=orders == 1)
            print(f"  {stage:<10} {worked:6.2f} s at work, {whole - worked:.2f} s to start and end the program")
            seconds, wall = seconds + worked, wall + whole
        if any(shop.where(f"order-{number}") != "completed" for number in range(orders)):
            sys.exit("an order was not completed")
    return Taken(seconds, wall)


def show_stage(log: Path, *, show_steps: bool) -> float:
    """The seconds from the first to the last line of a stage's log; prints when each step ended."""
    events = [json.loads(line) for line in log.open()]
    times = [datetime.fromisoformat(event["at"]) for event in events]
    ended: dict[str, float] = {}
    for event, at in zip(events, times, strict=True):
        if event["event"] in {"call.done", "step.done"}:
            ended[event["call"].partition("/")[0]] = (at - times[0]).total_seconds()
    for step, seconds in ended.items() if show_steps else ():
        print(f"  {step:<10} done after {seconds:6.2f} s")
    return (times[-1] - times[0]).total_seconds()


def main() -> None:
    """Measures and prints; the exit code says whether it was quick enough."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    path = critical_path_seconds()
    print(f"critical path      {path:6.2f} s ({SEGMENTS} segments, latencies / {SCALE})")
    with tempfile.TemporaryDirectory() as folder:
        one = measure(1, Path(folder))
        of_path = one.worked / path
        print(
            f"one order          {one.worked:6.2f} s = {of_path:.2f} x the critical path; {one.wall:.2f} s on the wall)"
        )
        three = measure(3, Path(folder))
        of_one = three.worked / one.worked
        print(f"three at once      {three.worked:6.2f} s = {of_one:.2f} x one order (wall {three.wall:.2f} s)")
    if of_path > MOST_OF_CRITICAL_PATH or of_one > MOST_OF_ONE_ORDER:
        sys.exit(f"too slow: at most {MOST_OF_CRITICAL_PATH} and {MOST_OF_ONE_ORDER:.0f} are allowed")


if __name__ == "__main__":
    main()
