"""Killed before and after every receipt, every line of the ledger and every request: one page, one mail, one bill.

The moments are found by watching a clean run. Segments are alike, so of their moments those of the first and the last
are taken; with KILL_AT=every in the environment all are, which takes twice as long.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

import pytest
from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.services import Services
from live import Shop

from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = {"CLIP_WIDTH": "112", "CLIP_HEIGHT": "62", "CLIP_SECONDS": "0.5", "SEGMENTS_AT_ONCE": "1"}
FREE_REPEATS = 2
"""Of requests that are free and harmless (uploads, polls, visits) the first few of a kind are enough."""
MOST_RUNS = 8
PARTS = 4
"""Tests that share the moments out among them, so that they can be run side by side."""


def small_services() -> Services:
    """The services, as quick as they can be."""
    return Services(
        gemini=FakeGemini(picture_size=(112, 63)),
        replicate=FakeReplicate(clip_size=(112, 62), clip_seconds=0.5, clip_frames_per_second=12, smallest_side=60),
    )


@dataclass
class Bench:
    """A loaded program, and the services it works against."""

    folder: Path
    services: Services
    program: subprocess.Popen[str]

    @classmethod
    def at(cls, folder: Path, stack: ExitStack) -> Self:
        """A bench that is cleared when ``stack`` ends."""
        services = stack.enter_context(small_services())
        command = [sys.executable, str(Path(__file__).parent.parent / "killed_run.py")]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.enter_context(program)
        assert program.stdin
        stack.callback(program.stdin.close)
        return cls(folder, services, program)

    def shop(self, name: str) -> Shop:
        """A new installation with one paid order."""
        home = self.folder / name
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        shop = Shop(home, self.services, TINY)
        shop.order(name)
        return shop

    def run(self, shop: Shop, stage: str, kill_at: str | None = None) -> dict[str, Any]:
        """One run of a stage."""
        order = {
            "arguments": ["--home", str(shop.home), stage],
            "environment": shop.environment(),
            "kill_at": kill_at,
            "output": str(shop.home / "output.txt"),
        }
        assert self.program.stdin
        assert self.program.stdout
        self.program.stdin.write(json.dumps(order) + "\n")
        self.program.stdin.flush()
        ended: dict[str, Any] = json.loads(self.program.stdout.readline())
        return ended

    def finish(self, shop: Shop, name: str) -> list[str]:
        """Runs both stages, as cron would, until the order is completed."""
        ends = []
        for _ in range(MOST_RUNS):
            for stage in ("process", "review"):
                if shop.where(name) == "completed":
                    return ends
                shop.put_off(name)
                ends.append(f"{stage} {self.run(shop, stage)['code']}")
        return ends


def is_free(moment: str) -> bool:
    """A request that costs nothing and changes nothing when it is repeated."""
    what = moment.partition(" ")[2]
    return what.startswith(("GET ", "POST /v2/files", "POST /v1/files"))


def worth_killing_at(moments: list[str]) -> list[str]:
    """Every moment once; of free requests the first few of a kind, and of segments the first and the last."""
    every = os.environ.get("KILL_AT") == "every"
    return [
        moment
        for moment in dict.fromkeys(moments)
        if not is_free(moment) or int(moment.rpartition("#")[2]) <= FREE_REPEATS
        if every or not re.search(r"/0[2-4] #|predictions #[2-4]|generateContent #(?:[4-8])$", moment)
    ]


def bill_of(services: Services) -> Counter[str]:
    """What was billed: kind and how often."""
    return Counter(f"{charge.service} {charge.what}" for charge in services.bill)


def findings(bench: Bench, shop: Shop, name: str, bill: Counter[str], letters: int, wanted: Counter[str]) -> list[str]:
    """What is wrong after an order was killed once and finished; ``bill`` is what it was billed."""
    wrong = []
    unknown = Counter(line["call"].partition("/")[0] for line in shop.receipts(name) if line["phase"] == "unknown")
    if shop.where(name) != "completed":
        return [f"the order lies in {shop.where(name)}: {shop.job(name).get('failure')}"]
    extra = bill - wanted
    if wanted - bill:
        wrong.append(f"not billed: {wanted - bill}")
    if extra.total() > min(1, unknown.total() - unknown["mail"]) or extra["replicate clip"]:
        wrong.append(f"billed twice: {extra}, recorded as unknown: {unknown}")
    if letters > 1 + unknown["mail"] or not letters:
        wrong.append(f"{letters} letters, recorded as unknown: {unknown}")
    spent = sum(line["cost_micros"] for line in shop.receipts(name) if "cost_micros" in line)
    books: dict[tuple[str, int, str], int] = {}
    for line in shop.ledger():
        books[line["call"], line["attempt"], line["inputs"]] = line["micros"]
    open_lines = Counter(line["what"] for line in shop.ledger())
    if sum(books.values()) != spent or open_lines["reserved"] != open_lines["settled"]:
        wrong.append(f"the ledger says {sum(books.values())}, the receipts say {spent}, lines {open_lines}")
    job = shop.job(name)
    told = Counter(entry["what"] for entry in job["history"])
    if (told["published"], told["verified"], told["mailed"]) != (1, 1, 1):
        wrong.append(f"the history says {told}")
    return wrong


def kill_and_finish(bench: Bench, moment: str, number: int, wanted: Counter[str]) -> list[str]:
    """One order, killed at ``moment`` and then run plainly to its end; returns what was wrong."""
    name = f"order-{number}"
    shop = bench.shop(name)
    billed, letters = bill_of(bench.services), len(bench.services.smtp.letters)
    deployments = len(bench.services.vercel.deployments)
    codes = [bench.run(shop, stage, moment)["code"] for stage in ("process", "review")]
    ends = bench.finish(shop, name)
    wrong = [] if -9 in codes else [f"was never reached, ended with {codes}"]
    bill = bill_of(bench.services) - billed
    wrong += findings(bench, shop, name, bill, len(bench.services.smtp.letters) - letters, wanted)
    made = len(bench.services.vercel.deployments) - deployments
    if made != 1:
        wrong.append(f"{made} deployments")
    return [f"{moment}: {one} (then {', '.join(ends)})" for one in wrong]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench to kill and finish orders on."""
    with ExitStack() as stack:
        yield Bench.at(tmp_path, stack)


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_moment_an_order_is_paid_published_and_mailed_once(bench: Bench, part: int) -> None:
    clean = bench.shop("order-0")
    moments = [moment for stage in ("process", "review") for moment in bench.run(clean, stage)["moments"]]
    wanted = bill_of(bench.services)
    assert clean.where("order-0") == "completed", clean.home.joinpath("output.txt").read_text()
    assert wanted == Counter({"gemini text": 4, "gemini keyframe": 6, "replicate clip": 5})
    chosen = worth_killing_at(moments)
    mine = [moment for moment in chosen if crc32(moment.encode()) % PARTS == part]

    found = [line for number, moment in enumerate(mine, 1) for line in kill_and_finish(bench, moment, number, wanted)]

    assert len(chosen) > 80
    assert mine
    assert found == []
