"""What somebody at a terminal sees: progress, readable events, and a review that asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import environment

if TYPE_CHECKING:
    from collections.abc import Callable


class Terminal:
    """The real program on a pseudo-terminal."""

    def __init__(self, home: Path, *arguments: str, **settings: str) -> None:
        self._master, slave = pty.openpty()
        command = [sys.executable, "-m", "downstream", "--home", str(home), *arguments]
        env = environment(**settings) | {"TERM": "xterm", "COLUMNS": "160"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        self.seen = ""

    def read_until(self, text: str, seconds: float = 60) -> None:
        """Everything up to and beyond ``text`` is in ``seen``."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), f"ended without {text!r}: {self.seen}"

    def answer(self, text: str) -> None:
        """Types a line; what was seen before is forgotten."""
        self.seen = ""
        os.write(self._master, text.encode() + b"\n")

    def end(self) -> int:
        """Reads to the end; returns the exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(60)

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 4096)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)


def test_progress_and_readable_events_are_shown_on_a_terminal(home: Path, drop: Callable[..., Path]) -> None:
    drop()
    terminal = Terminal(home, "process")

    assert terminal.end() == 0
    for shown in ("keyframes", "clips", "frames", "page", "job.to_review", "stream=test", "1 made, now in review"):
        assert shown in terminal.seen
    assert '{"at"' not in terminal.seen


def test_nothing_to_do_is_said_on_a_terminal(home: Path) -> None:
    terminal = Terminal(home, "process")

    assert terminal.end() == 3
    assert "no order waits" in terminal.seen


def test_the_review_walks_through_what_waits_and_asks(
    home: Path, run: Callable[..., subprocess.CompletedProcess[str]], drop: Callable[..., Path]
) -> None:
    for name in ("first", "second", "third"):
        drop(name)
    assert run("process").returncode == 0

    terminal = Terminal(home, "review", REVIEW_POLICY="operator")
    terminal.read_until("Decide")
    for fact in ("first: ", "contact-sheet.jpg", "page/index.html", "hard checks", "segments"):
        assert fact in terminal.seen
    terminal.answer("approve")
    terminal.read_until("second: ")
    terminal.read_until("Decide")
    terminal.answer("regenerate")
    terminal.read_until("Which segments")
    terminal.answer("99")
    terminal.read_until("there is no segment 99")
    terminal.answer("2, 3")
    terminal.read_until("What is wrong")
    terminal.answer("too dark")
    terminal.read_until("third: ")
    terminal.read_until("Decide")
    terminal.answer("later")

    assert terminal.end() == 7
    where = {path.stem: path.parent.name for path in (home / "jobs").glob("*/*.json")}
    assert where == {"first": "completed", "second": "pending", "third": "review"}
    second = json.loads((home / "jobs/pending/second.json").read_bytes())
    assert second["notes"] == {"02": ["too dark"], "03": ["too dark"]}
