"""How many jobs a second travel through the queue, durably, beside the bare file operations on the same disk.

Prints, for N jobs: enqueue, claim + advance to review, and as a yardstick a plain write + fsync + rename + fsync of the
folder of the same bytes; then the cost of listing a long queue for the first and the second time.

    python bench/folders.py [--jobs 1000] [--waiting 50000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from downstream.domain.job import Job
from downstream.domain.state import State
from downstream.files import write_durably
from downstream.installation import lay_out
from downstream.queue import Queue

START = datetime(2026, 1, 1, tzinfo=UTC)


def job(number: int) -> Job:
    """A paid order; later numbers paid later."""
    paid_at = START + timedelta(seconds=number)
    return Job(stream_id=f"order-{number:06d}", customer_email="a@example.com", paid_amount=49, paid_at=paid_at)


def raw(folder: Path, jobs: int) -> float:
    """Seconds for the bare operations: each file written, synced, renamed, its folder synced."""
    data = job(0).to_json()
    started = time.perf_counter()
    for number in range(jobs):
        temporary, final = folder / f".{number}.tmp", folder / f"{number}.json"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - started


def enqueue(queue: Queue, jobs: int) -> float:
    """Seconds to put that many orders in, durably."""
    started = time.perf_counter()
    for number in range(jobs):
        queue.enqueue(job(number))
    return time.perf_counter() - started


def travel(queue: Queue, jobs: int) -> float:
    """Seconds to claim them all in order and advance each to review, durably."""
    started = time.perf_counter()
    for number in range(jobs):
        claim = queue.claim_next(live=True, now=START + timedelta(days=365))
        if claim is None or claim.job.stream_id != f"order-{number:06d}":
            raise SystemExit(f"job {number} was not claimed in order")
        claim.advance(claim.job, State.REVIEW, at=START, who="bench")
    return time.perf_counter() - started


def list_long_queue(home: Path, waiting: int) -> tuple[float, float]:
    """Seconds until the first of ``waiting`` jobs is claimed: unknown queue, known queue."""
    for number in range(waiting):
        path = home / "jobs" / "pending" / f"order-{number:06d}.json"
        path.write_bytes(job(number).to_json())
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        claim = Queue(home).claim_next(live=True, now=START + timedelta(days=365))
        taken.append(time.perf_counter() - started)
        if claim is None or claim.job.stream_id != "order-000000":
            raise SystemExit("the first order was not claimed first")
        claim.give_back()
    return taken[0], taken[1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--waiting", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="On which disk; default: the system's temporary folder.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        home, bare, long = Path(folder, "home"), Path(folder, "bare"), Path(folder, "long")
        bare.mkdir()
        for each in (home, long):
            lay_out(each, today=START.date(), program="downstream")
        write_durably(bare / "warm-up", b"")
        queue = Queue(home)
        figures = {
            "raw write + fsync + rename": raw(bare, arguments.jobs),
            "enqueue": enqueue(queue, arguments.jobs),
            "claim + advance": travel(queue, arguments.jobs),
        }
        for name, seconds in figures.items():
            print(f"{name:<28} {arguments.jobs / seconds:8.0f} jobs/s   {seconds / arguments.jobs * 1000:6.2f} ms each")
        first, second = list_long_queue(long, arguments.waiting)
        print(f"first claim of {arguments.waiting:,} waiting: {first:.2f} s unknown, {second:.2f} s known")


if __name__ == "__main__":
    main()
