"""How many events a second the webhook takes, each paid order on the disk before it is acknowledged.

Prints, for N paid payment pages told by 32 callers at once to the real server (a process of its own, signatures made by
Stripe's own package): events a second and the milliseconds that half of the answers and all but one in a hundred took;
then the same for the same events told again, as Stripe does; and as a yardstick a plain write + fsync + rename + fsync
of the folder on the same disk.

    python bench/webhook.py [--sessions 500] [--folder DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.pop(0)  # this folder: its queue.py would be taken for Python's own
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import argparse
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded
from served import AT_ONCE, Served, at_checkout, core, jobs, serving, shop_environment, signed

from downstream.installation import lay_out

if TYPE_CHECKING:
    from downstream.shop.shop import Shop


def paid_events(account: FakeStripe, shop: Shop, sessions: int) -> list[bytes]:
    """Every order is drafted and paid for; the events that say so."""
    with ThreadPoolExecutor(8) as customers:
        pages = list(customers.map(lambda _: at_checkout(shop)[1], range(sessions)))
    for page in pages:
        account.pay(page)
    return [encoded(event) for event in account.events]


def tell_all(served: Served, events: list[bytes], secret: str) -> tuple[float, list[float]]:
    """Seconds for all of them, and for each; every one has to be acknowledged."""
    mine = threading.local()

    def tell(body: bytes) -> float:
        if not hasattr(mine, "caller"):
            mine.caller = served.caller()
        signature, started = signed(body, secret), time.perf_counter()
        reply = mine.caller.tell(body, signature)
        if reply.status != 200:
            sys.exit(f"an event was answered {reply.status}: {reply.text}")
        return time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as callers:
        each = list(callers.map(tell, events))
    return time.perf_counter() - started, each


def raw_seconds(folder: Path, data: bytes, times: int) -> list[float]:
    """Seconds for each plain file that is written, synced, renamed, its folder synced."""
    taken = []
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(times):
        started = time.perf_counter()
        temporary = folder / f".{number}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / f"{number}.json")
        os.fsync(descriptor)
        taken.append(time.perf_counter() - started)
    os.close(descriptor)
    return taken


def show(name: str, seconds: float, each: list[float]) -> None:
    """One line of figures."""
    middle, high = statistics.median(each), statistics.quantiles(each, n=100)[98]
    print(
        f"{name:<28} {len(each) / seconds:8.0f} a second   p50 {middle * 1000:7.1f} ms   p99 {high * 1000:7.1f} ms",
        flush=True,
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="On which disk; default: the system's temporary folder.")
    arguments: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, FakeStripe() as account:
        home, bare = Path(folder, "home"), Path(folder, "bare")
        bare.mkdir()
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        settings = shop_environment(account)
        events = paid_events(account, core(home, settings), arguments.sessions)
        with serving(home, settings) as served:
            first = tell_all(served, events, account.webhook_secret)
            again = tell_all(served, events, account.webhook_secret)
        if sorted(jobs(home).values()) != [["pending"]] * arguments.sessions:
            sys.exit("not every paid session is one job")
        plain = raw_seconds(bare, events[0], 200)
        show("paid sessions, 32 at once", *first)
        show("told again, 32 at once", *again)
        show("plain durable write, one", sum(plain), plain)


if __name__ == "__main__":
    main()
