"""The five commands that cron runs."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import click

from downstream import healthcheck, stamps
from downstream.alerts import is_news, is_over, told
from downstream.commands.common import (
    SHOP_LOG,
    end,
    estimated,
    finish,
    now,
    require_running,
    run_stage,
    settings_of,
    shop_of,
    stage_settings,
    tell,
    troubles_told_once,
    walk,
)
from downstream.domain.errors import DownstreamError, Misconfigured
from downstream.domain.state import UNDELIVERED, State
from downstream.exit_codes import ExitCode
from downstream.installation import require_installation
from downstream.queue import Queue
from downstream.shop import errands, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from downstream.domain.checks import Verdict
    from downstream.healthcheck import Watched

LOOK_AT_PROMISES_SECONDS = 600
LOOK_AT_FAILURES_SECONDS = 600
_LASTING_TROUBLE = ("reconcile", "stopped.review.", "promise.broken.")
"""Alarms of which a watcher elsewhere must hear as long as they stand: this run may go well all the same."""
_MAY_BE_OVER = {
    "process": ("hold.", "held_orders", "stopped.process."),
    "review": ("waiting_for_review", "stopped.review."),
}
"""Alarms that a run of the stage may find over: while one stands, it looks also when no order waits."""


@click.command()
@click.option(
    "--rehearse",
    is_flag=True,
    help="Walk what waits through process and review in a scratch installation: nothing is spent or published.",
)
@click.option("--only", metavar="ID", help="With --rehearse: just this order, in whatever folder it lies.")
@click.pass_obj
def process(home: Path, rehearse: bool, only: str | None) -> None:  # noqa: FBT001
    """Make the pages of the orders that wait in jobs/pending.

    First paid, first served. Each step - plan, keyframes, clips, frames, page - resumes where an earlier run left
    off. A finished page waits in jobs/review.

    With --rehearse the embedded providers make, publish and mail everything inside streams/.rehearsals/TIME; the
    orders, their receipts and the ledger are only read, so it may be done while HEARTBEAT.md says PAUSED. The page and
    the estimate of each order are printed last. The last three rehearsals are kept.
    """
    if only is not None and not rehearse:
        raise click.UsageError("--only goes with --rehearse")
    if rehearse:
        _rehearse(home, only)
    with healthcheck.watched(home, partial(tell, home)) as watched, troubles_told_once(home, "process"):
        _process(home, watched)


@click.command()
@click.option("--approve", metavar="ID", help="Approve this page and deliver it.")
@click.option("--regenerate", metavar="ID", help="Have segments of this page made again.")
@click.option("--segments", metavar="N,N", help="Which segments, with --regenerate.")
@click.option("--note", help="What is wrong with them; reaches the next prompt.")
@click.option("--rebuy", is_flag=True, help="With --regenerate: buy the clips again that downstream tidy removed.")
@click.option("--fail", metavar="ID", help="Give this order up to jobs/failed.")
@click.option("--reason", help="Why, with --fail.")
@click.option("--ask", is_flag=True, help="Walk through what waits and ask, also when REVIEW_POLICY is auto.")
@click.pass_obj
def review(home: Path, /, ask: bool, rebuy: bool, **by_hand: str | None) -> None:  # noqa: FBT001 - click passes flags
    """Check the pages in jobs/review, decide, and deliver what is approved.

    REVIEW_POLICY=auto (the default) decides by the hard checks. REVIEW_POLICY=operator waits for a person: on a
    terminal this command walks through what waits and asks.

    \b
    downstream review --approve ID
    downstream review --regenerate ID --segments 2,5 --note "the boat has no sail"
    downstream review --fail ID --reason "the customer withdrew"
    """
    decided = _decision(by_hand)
    if rebuy and not by_hand["regenerate"]:
        raise click.UsageError("--rebuy goes with --regenerate")
    by_cron = decided is None and not ask
    watching = healthcheck.watched(home, partial(tell, home), only_trouble=True) if by_cron else nullcontext()
    with watching, troubles_told_once(home, "review"):
        _review(home, decided, ask=ask, rebuy=rebuy)


@click.command()
@click.pass_obj
def daily(home: Path) -> None:
    """Write the day's review to logs/reviews: what failed, what waits, what happened.

    Also makes up for days, weeks and months that were missed, and works off triggers/daily-YYYY-MM-DD.trigger files
    dropped by hand.
    """
    _review_business(home, "daily")


@click.command()
@click.pass_obj
def weekly(home: Path) -> None:
    """Write the week's review to logs/reviews (triggers/weekly-YYYY-Www.trigger asks for one by hand)."""
    _review_business(home, "weekly")


@click.command()
@click.pass_obj
def monthly(home: Path) -> None:
    """Write the month's review to logs/reviews (triggers/monthly-YYYY-MM.trigger asks for one by hand)."""
    _review_business(home, "monthly")


def _process(home: Path, watched: Watched) -> NoReturn:
    require_running(home)
    _tend_shop(home)
    _look_at_promises(home)
    _look_at_failures(home)
    watched.has_trouble = bool(told(home, *_LASTING_TROUBLE))
    queue = Queue(home)
    is_idle = queue.is_empty(State.PENDING) and queue.is_empty(State.PROCESSING)
    if is_idle and not told(home, *_MAY_BE_OVER["process"]):
        if healthcheck.wants_to_know(home) and healthcheck.is_set(home):
            stage_settings(home)  # who says that all is well has looked at them, too
        end(ExitCode.NOTHING_TO_DO, "no order waits")
    from downstream.stages.process import process as run

    finish(run_stage(home, "process", run, begin=watched.begin), "made, now in review")


def _look_at_promises(home: Path) -> None:
    """The operator knows which orders will be late, or are. Looked at now and then, and while any order is open."""
    stamp, queue = home / "jobs" / ".promises", Queue(home)
    is_open = any(not queue.is_empty(state) for state in UNDELIVERED)
    if not stamps.is_due(stamp, LOOK_AT_PROMISES_SECONDS) or not (is_open or told(home, "promise.")):
        return
    from downstream import promises

    settings = stage_settings(home)
    with _stopping_nothing(home, "promises.not_looked_at"):
        promises.tell(home, settings, now(), partial(tell, home))
        stamps.done_now(stamp)  # after the look: on a full disk every tick looks


def _look_at_failures(home: Path) -> None:
    """The operator knows which orders wait for a decision. Looked at when their folder changed, and now and then."""
    stamp, queue = home / "jobs" / ".failures", Queue(home)
    is_due = stamps.is_due(stamp, LOOK_AT_FAILURES_SECONDS)
    if not is_due and queue.folder(State.FAILED).stat().st_mtime_ns < stamp.stat().st_mtime_ns:
        return
    if queue.is_empty(State.FAILED) and not told(home, "failed."):
        return
    from downstream import failures

    stage_settings(home)
    with _stopping_nothing(home, "failures.not_looked_at"):
        stamps.done_now(stamp)  # before the look: what changes meanwhile is looked at next time
        try:
            failures.look(home, now(), partial(tell, home))
        except BaseException:
            stamp.unlink(missing_ok=True)
            raise


@contextmanager
def _stopping_nothing(home: Path, event: str) -> Iterator[None]:
    """Who watches the work must not stop it: whatever goes wrong is written down."""
    from downstream.log import open_log, where

    try:
        yield
    except Exception as error:  # noqa: BLE001
        open_log(home, "processor").error(event, **where(error))


def _tend_shop(home: Path) -> None:
    """What the shop waits for is done: the look at the payments that is due, letters, refunds.

    Its troubles do not keep what is paid for from being made.
    """
    is_due = watch.is_due(home)
    if not is_due and errands.is_empty(home):
        return
    from downstream.log import open_log
    from downstream.shop import counter
    from downstream.shop.reconcile import reconcile as compare

    stage_settings(home)
    try:
        shop = shop_of(home)
        counter.work_off(shop)
        if is_due and (lock := watch.begin(home)) is not None:
            with lock:
                compare(shop)
        if is_over(home, "reconcile"):
            tell(home, "all clear: payments are compared again")
        counter.work_off(shop)  # the letters of what was found
    except DownstreamError as error:
        open_log(home, SHOP_LOG).warning("shop.not_tended", reason=str(error))
        is_grave = isinstance(error, Misconfigured) or (is_due and watch.is_worrying(home))
        if is_grave and is_news(home, "reconcile", now()):
            tell(home, f"payments cannot be compared with the jobs here: {error}")


def _review(home: Path, decided: tuple[str, Verdict] | None, *, ask: bool, rebuy: bool) -> NoReturn:
    require_running(home)
    _look_at_failures(home)
    is_idle = decided is None and Queue(home).is_empty(State.REVIEW)
    if is_idle and not told(home, *_MAY_BE_OVER["review"]):
        end(ExitCode.NOTHING_TO_DO, "no page waits for review")
    from downstream.stages.review import decide_by_hand
    from downstream.stages.review import review as run

    try:
        if decided is not None:
            finish(run_stage(home, "review", lambda context: decide_by_hand(context, *decided, rebuy=rebuy)), "decided")
        if ask or (sys.stdin.isatty() and settings_of(home).review_policy == "operator"):
            from downstream.terminal import ask as ask_operator

            finish(run_stage(home, "review", lambda context: run(context, ask_operator)), "decided")
        finish(run_stage(home, "review", run), "decided")
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _decision(by_hand: dict[str, str | None]) -> tuple[str, Verdict] | None:
    """The order and the verdict that the options of ``review`` name; None when they name none."""
    given = [name for name in ("approve", "regenerate", "fail") if by_hand[name]]
    if len(given) > 1:
        raise click.UsageError("--approve, --regenerate and --fail exclude each other")
    for option, owner in (("segments", "regenerate"), ("note", "regenerate"), ("reason", "fail")):
        if (by_hand[option] is not None) != (owner in given):
            raise click.UsageError(f"--{owner} and --{option} go together")
    if not given:
        return None
    from downstream.domain.checks import Decision, Verdict
    from downstream.terminal import segment_ids

    stream_id = by_hand[given[0]] or ""
    reason = by_hand["note"] or by_hand["reason"] or "approved by hand"
    segments = segment_ids(by_hand["segments"]) if by_hand["segments"] else ()
    return stream_id, Verdict(decision=Decision(given[0]), reason=reason, segment_ids=segments)


def _rehearse(home: Path, only: str | None) -> NoReturn:
    require_installation(home)
    if only is None and Queue(home).is_empty(State.PENDING):
        end(ExitCode.NOTHING_TO_DO, "no order waits")
    from downstream.estimate import tell
    from downstream.rehearse import harmless, prepare

    rehearsal = prepare(home, only, now())
    walk(rehearsal.home, harmless(settings_of(home)))
    failed = bool(rehearsal.impossible)
    for stream_id, why in rehearsal.impossible.items():
        click.echo(f"{stream_id} cannot be made: {why}", err=True)
    for stream_id in rehearsal.stream_ids:
        page = rehearsal.home.resolve() / "streams" / stream_id / "public" / "index.html"
        if Queue(rehearsal.home).find(stream_id) == State.COMPLETED:
            click.echo(page)
        else:
            failed = True
            click.echo(
                f"{stream_id} did not get through: downstream --home {rehearsal.home} show {stream_id}", err=True
            )
    for stream_id in rehearsal.stream_ids:
        click.echo("\n" + "\n".join(tell(estimated(home, stream_id))))
    sys.exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def _review_business(home: Path, name: str) -> NoReturn:
    from importlib import import_module

    written: list[Path] = []
    with troubles_told_once(home, name):
        require_running(home)
        stage = getattr(import_module(f"downstream.stages.{name}"), name)
        ended = run_stage(home, name, lambda context: written.extend(stage(context)))
    if sys.stdout.isatty():
        for path in written:
            click.echo(path)
        if not written:
            click.echo(f"the {name} review of this period is written already; see {home / 'logs' / 'reviews'}")
    finish(ended, "written")
