"""An order that is worked on while it is copied is in the backup as it was at one moment."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
from business import NOW, add_order

from downstream.backup import capture
from downstream.backup.copying import Copier
from downstream.domain.errors import TryAgain
from downstream.domain.job import What
from downstream.domain.state import State
from downstream.files import write_durably
from downstream.holds import OPERATOR, Hold, hold, let_go
from downstream.queue import Queue
from downstream.receipts import Receipts
from downstream.shop import errands

if TYPE_CHECKING:
    from pathlib import Path

WAYS = {
    State.PENDING: State.PROCESSING,
    State.PROCESSING: State.REVIEW,
    State.REVIEW: State.PENDING,
}
"""Round and round, backwards too; as quickly as a disk allows."""


class Worker(threading.Thread):
    """Works on one order without a pause: buys, moves, holds. Each step says its number in the job and the receipts."""

    def __init__(self, home: Path, stream_id: str, dice: random.Random) -> None:
        super().__init__()
        self.home, self.stream_id, self.dice = home, stream_id, dice
        self.ended = threading.Event()
        self.steps = 0

    def run(self) -> None:
        queue = Queue(self.home)
        stream = self.home / "streams" / self.stream_id
        receipts = Receipts(stream / "receipts.jsonl")
        while not self.ended.is_set():
            self.steps += 1
            state = queue.find(self.stream_id)
            assert state is not None
            with queue.claim(self.stream_id, state) as claim:
                clip = stream / "clips" / f"{self.dice.randrange(3)}.mp4"
                attempt = receipts.intend(f"clips/{clip.stem}", str(self.steps), "somebody")
                write_durably(clip, f"clip of step {self.steps}".encode())
                receipts.settle(attempt, outputs=[clip], cost_micros=5)
                job = claim.job.noting(What.RECOVERED, at=NOW, who="test", reason=str(self.steps))
                claim.advance(job, WAYS[state], at=NOW, who="test", reason=str(self.steps))
            if self.dice.random() < 0.3:
                hold(self.home, Hold(self.stream_id, OPERATOR, f"step {self.steps}", NOW.isoformat()))
                errands.put(self.home, self.stream_id, errands.CONFIRM, NOW, step=self.steps)
                errands.done(self.home, errands.Errand(self.stream_id, errands.CONFIRM))
                let_go(self.home, self.stream_id)
            time.sleep(self.dice.uniform(0, 0.02))


def check_is_of_one_moment(files: Path, stream_id: str) -> str:
    """The job lies in one folder, knows no step that the receipts do not, and what was bought is there; its state."""
    found = [state for state in State if (files / "jobs" / state / f"{stream_id}.json").exists()]
    assert len(found) == 1, found
    job = json.loads((files / "jobs" / found[0] / f"{stream_id}.json").read_bytes())
    lines = (files / "streams" / stream_id / "receipts.jsonl").read_bytes()
    assert lines.endswith(b"\n")
    receipts = [json.loads(line) for line in lines.splitlines()]
    bought = [int(one["inputs"]) for one in receipts if one["phase"] == "outcome" and one["inputs"].isdigit()]
    noted = [int(one["reason"]) for one in job.get("history", ()) if one["what"] == "recovered"]
    # A step ends with its line in the job: the receipts are of that step, or of the one that has just begun.
    assert max(bought, default=0) - max(noted, default=0) in {0, 1}
    newest = {one["call"]: one for one in receipts if one["phase"] == "outcome" and one["inputs"].isdigit()}
    open_calls = {receipts[-1]["call"]} if receipts[-1]["phase"] == "intent" else set()
    for call, one in newest.items():
        if call not in open_calls:  # whose file may have been replaced, as by a crash
            (name,) = one["outputs"]
            assert (files / "streams" / stream_id / name).read_bytes() == f"clip of step {one['inputs']}".encode()
    return found[0]


def test_orders_that_are_worked_on_are_copied_as_they_were_at_one_moment(home: Path, tmp_path: Path) -> None:
    dice = random.Random(7)
    names = [f"order-{number}" for number in range(3)]
    for name in names:
        add_order(home, name, "pending")
    workers = [Worker(home, name, random.Random(name)) for name in names]
    for worker in workers:
        worker.start()
    seen: set[str] = set()
    number = 0
    try:
        while number < 60 or seen != set(WAYS) or min(worker.steps for worker in workers) < 10:
            number += 1
            assert number < 5000
            copier = Copier(home, tmp_path / f"copy-{number}")
            capture.capture(copier, with_secrets=False, advanced=lambda _, __: None)
            seen |= {check_is_of_one_moment(copier.target, name) for name in names}
            time.sleep(dice.uniform(0, 0.01))
    finally:
        for worker in workers:
            worker.ended.set()
            worker.join()

    assert seen == set(WAYS)


def test_an_order_that_never_stands_still_is_not_copied_by_half(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "MOST_LOOKS", 3)
    add_order(home, "order-1", "processing")
    copier = Copier(home, tmp_path / "copy")
    take = copier.take

    def meddle(name: str) -> bool:
        with (home / "streams/order-1/receipts.jsonl").open("a") as file:
            file.write("{}\n")
        return take(name)

    monkeypatch.setattr(copier, "take", meddle)

    with pytest.raises(TryAgain, match="order-1 changes faster than it can be copied"):
        capture.capture(copier, with_secrets=False, advanced=lambda _, __: None)


@pytest.mark.parametrize("target", ["pending", "failed"])
def test_a_job_that_moves_between_the_looks_is_copied_where_it_went(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    add_order(home, "order-1", "review")
    copier = Copier(home, tmp_path / "copy")
    take = copier.take

    def move_meanwhile(name: str) -> bool:
        taken = take(name)
        path = home / "jobs/review/order-1.json"
        if path.exists():
            path.rename(home / "jobs" / target / "order-1.json")
        return taken

    monkeypatch.setattr(copier, "take", move_meanwhile)
    capture.capture(copier, with_secrets=False, advanced=lambda _, __: None)

    found = [str(path.relative_to(copier.target)) for path in copier.target.glob("jobs/*/order-1.json")]
    assert found == [f"jobs/{target}/order-1.json"]
    assert [name for name in copier.entries if name.endswith("order-1.json")] == found


def test_a_file_that_vanishes_while_it_is_copied_is_in_no_manifest(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_order(home, "order-1", "review")
    copier = Copier(home, tmp_path / "copy")
    take = copier.take

    def remove_first(name: str) -> bool:
        if name.endswith("clips/01.mp4"):
            (home / name).unlink()
        return take(name)

    monkeypatch.setattr(copier, "take", remove_first)
    capture.capture(copier, with_secrets=False, advanced=lambda _, __: None)

    assert "streams/order-1/clips/01.mp4" not in copier.entries
    assert "streams/order-1/page/index.html" in copier.entries
