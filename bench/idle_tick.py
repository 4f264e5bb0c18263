"""How long an idle tick of ``downstream process`` takes beside ``python -c "import click"``.

Prints medians of whole processes, in milliseconds, for an empty installation and for one with 100,000 completed jobs.

    python bench/idle_tick.py [--completed 100000] [--runs 21]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from downstream.installation import lay_out


def milliseconds(command: list[str]) -> float:
    """The wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return (time.perf_counter() - started) * 1000


def fill(home: Path, completed: int) -> None:
    """Puts that many finished jobs into ``completed``."""
    folder = home / "jobs" / "completed"
    for number in range(completed):
        name = f"order-{number:06d}"
        (folder / f"{name}.json").write_text(f'{{"stream_id": "{name}", "customer_email": "a@example.com"}}')


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--completed", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=21)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        for home in (empty, full):
            lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        fill(full, arguments.completed)
        program = str(Path(sys.executable).with_name("downstream"))
        commands = {
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "idle tick, empty": [program, "--home", str(empty), "process"],
            f"idle tick, {arguments.completed:,} completed": [program, "--home", str(full), "process"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.runs + 1):  # in turn, so that a drifting machine drifts for all alike
            for name, command in commands.items():
                times[name].append(milliseconds(command))
        base = statistics.median(times["python -c 'import click'"][1:])
        for name, taken in times.items():
            middle = statistics.median(taken[1:])
            print(f"{name:<36} {middle:7.1f} ms   {middle / base:5.2f} x")


if __name__ == "__main__":
    main()
