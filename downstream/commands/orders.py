"""What the operator asks about one order, or about all of them, and has done to it."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from downstream.commands.common import end, estimated, mail_operator, now, require_running, run_stage, settings_of
from downstream.domain.errors import Misconfigured
from downstream.domain.state import State
from downstream.exit_codes import ExitCode
from downstream.installation import require_installation
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from downstream.events_of import Event
    from downstream.overview import Door, Status
    from downstream.overview import Money as Spending

_LOOK_SECONDS = 0.5
_MOST_ERRANDS = 10
_MOST_PROMISES = 5
_STEPS = ("plan", "keyframes", "clips", "frames", "page")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def status(home: Path, as_json: bool) -> None:  # noqa: FBT001
    """Show where every order stands, what was spent, and which services are on hold. Reads files only."""
    require_installation(home)
    from downstream.overview import status as look

    found = look(home, now(), settings_of(home))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    click.echo(f"heartbeat  {found.heartbeat} ({found.heartbeat_why})")
    click.echo("jobs       " + ", ".join(f"{count} {state}" for state, count in found.counts.items()))
    click.echo(f"spent      {_spent(found.money)}")
    for line in _told_of_shop(found.shop):
        click.echo(line)
    for line in _troubles(found):
        click.echo(line)
    if found.jobs:
        width = max(len(row.stream_id) for row in found.jobs)
        click.echo(f"\n{'order':<{width}}  {'state':<10}  {'since':<22}  {'paid':<10}  note")
        for row in found.jobs:
            click.echo(
                f"{row.stream_id:<{width}}  {row.state:<10}  {row.since:<22}  {row.paid:<10}  {row.note}".rstrip()
            )
    hidden = sum(count for state, count in found.counts.items() if state != State.COMPLETED) - len(found.jobs)
    if hidden > 0:
        click.echo(f"... and {hidden} more in pending")


@click.command()
@click.argument("stream_id", metavar="ID")
@click.pass_obj
def show(home: Path, stream_id: str) -> None:
    """Show the life of one order: what was made, decided, published and mailed, when, and what each call cost.

    Costs are exact where the service told them, else assumed by the price table. An open or unknown call counts as
    spent.
    """
    require_installation(home)
    from downstream.overview import life

    for line in life(home, stream_id):
        click.echo(line)


@click.command()
@click.argument("stream_id", metavar="[ID]", default="")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option(
    "--since", metavar="WHEN", help="30m, 2h, 3d or 1w ago, or a date or time such as 2026-01-06T14:00 (UTC)."
)
@click.option(
    "--lines", type=click.IntRange(1), default=50, show_default=True, help="Without an ID: how many of the last events."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line, as the logs have them.")
@click.pass_obj
def logs(home: Path, stream_id: str, follow: bool, since: str | None, lines: int, as_json: bool) -> None:  # noqa: FBT001
    """Show what happened to one order, or lately in the whole house: the events of all logs, in the order of time.

    Reads logs/*.log and what a rotation has moved away (.log.1, .log.2.gz). Times are UTC; ! marks a warning, !! an
    error. Ends with 3 when the logs tell of nothing.
    """
    require_installation(home)
    from downstream.events_of import Logs, moment_of

    try:
        begin = moment_of(since, now()) if since else None
    except ValueError:
        raise click.BadParameter(f"{since!r} is neither a time nor something like 2h", param_hint="--since") from None
    reader = Logs(home, stream_id, begin)
    found = reader.news()
    for event in found if stream_id or since else found[-lines:]:
        click.echo(_shown(event, stream_id, as_json=as_json))
    if not follow:
        if not found:
            end(ExitCode.NOTHING_TO_DO, f"the logs tell of nothing{f' about {stream_id}' if stream_id else ''}")
        return
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(_LOOK_SECONDS)
            for event in reader.news():
                click.echo(_shown(event, stream_id, as_json=as_json))


def _shown(event: Event, stream_id: str, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(event.as_json(), ensure_ascii=False)
    return event.line("stream") if stream_id else event.line()


@click.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def explain(home: Path, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Say in sentences why an order is where it is, what it waits for, and what you can do about it.

    Each sentence ends with the file that shows it. ID may also be a draft nobody paid for, or the id of a payment at
    Stripe (pi_..., cs_...). Reads files only, changes nothing, and works while HEARTBEAT.md says PAUSED.
    """
    require_installation(home)
    from downstream.explain import UnknownOrder
    from downstream.explain import explain as look

    try:
        found = look(home, name, now(), os.environ)
    except UnknownOrder as error:
        click.echo(str(error), err=True)
        sys.exit(ExitCode.NOTHING_TO_DO)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    for line in found.lines():
        click.echo(line)


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For scripts; amounts in millionths of a dollar.")
@click.pass_obj
def estimate(home: Path, stream_id: str, as_json: bool) -> None:  # noqa: FBT001
    """Say what an order will cost at most, what of that is spent already, and whether it fits its cap.

    Works for an order in any folder and for a story in streams/ID/input.json that nobody ordered. Needs no keys and
    asks nobody: the figures are those that each call reserves, from the price table (prices.toml). Before the order is
    planned they are a range.
    """
    require_installation(home)
    from downstream.estimate import tell

    found = estimated(home, stream_id)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    for line in tell(found):
        click.echo(line)


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--from", "step", type=click.Choice(_STEPS), help="Make this step again, and what is made from it.")
@click.option(
    "--segment",
    type=click.IntRange(1, 99),
    metavar="N",
    help="Only this segment, with --from keyframes, clips or frames.",
)
@click.option(
    "--cleared",
    is_flag=True,
    help="You have looked at what the pre-screen or the judge found: produce it all the same.",
)
@click.pass_obj
def retry(home: Path, stream_id: str, step: str | None, segment: int | None, cleared: bool) -> None:  # noqa: FBT001
    """Send a failed order round again: jobs/failed to jobs/pending.

    Without --from nothing that is finished is made again.
    """
    if segment is not None and step not in {"keyframes", "clips", "frames"}:
        raise click.UsageError("--segment goes with --from keyframes, clips or frames")
    require_installation(home)
    from downstream import failures
    from downstream.retry import retry as run

    segment_id = f"{segment:02d}" if segment else None
    try:
        run(Queue(home), stream_id, step=step, segment_id=segment_id, cleared=cleared, now=now())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{stream_id} waits in jobs/pending; downstream process takes it up")
    with suppress(Misconfigured):
        settings = settings_of(home)
        failures.decided(home, stream_id, lambda sentence: mail_operator(home, settings, [sentence]))


@click.command()
@click.argument("stream_id", metavar="ID")
@click.pass_obj
def undo(home: Path, stream_id: str) -> None:
    """Show the version before at the address of a delivered order.

    For a new version that turns out worse. Nothing is made again, nobody is mailed. Each call steps back by one; the
    way forward is downstream review --regenerate.
    """
    require_running(home)
    from downstream.undo import undo as run

    run_stage(home, "undo", lambda context: click.echo(f"{run(context, stream_id).address} shows the version before"))


def _troubles(found: Status) -> Iterator[str]:
    """What keeps the house as a whole, or an order that is not in the table, from going on."""
    for promise in found.promises[:_MOST_PROMISES]:
        yield f"promise    {promise['sentence']}"
    if len(found.promises) > _MOST_PROMISES:
        yield f"promise    ... and {len(found.promises) - _MOST_PROMISES} more that are late, or will be"
    for name, at in found.alarms.items():
        yield f"alarm      {name}, told {at}"
    for service, until in found.on_hold.items():
        yield f"on hold    {service} until {until}"
    listed = {row.stream_id for row in found.jobs}
    for name, reason in found.held.items():
        if name not in listed:
            yield f"held       {name}: {reason}"


def _told_of_shop(door: Door) -> Iterator[str]:
    """``open, 2 drafts, 1 errand waits``, and the names of what waits."""
    yield f"shop       {door.state}, {door.drafts} draft(s), {len(door.errands)} errand(s) waiting"
    for errand in door.errands[:_MOST_ERRANDS]:
        yield f"waiting    {errand}"
    if len(door.errands) > _MOST_ERRANDS:
        yield f"waiting    ... and {len(door.errands) - _MOST_ERRANDS} more"
    for errand in door.errands_given_up:
        yield f"given up   {errand}: see logs/shop.log"


def _spent(money: Spending) -> str:
    """``today $1.20 of $100.00, this month $30.00 of $1000.00``."""
    from downstream.domain.prices import show_dollars

    today = f"today {show_dollars(money.today_micros)} of {show_dollars(money.cap_per_day_micros)}"
    return f"{today}, this month {show_dollars(money.month_micros)} of {show_dollars(money.cap_per_month_micros)}"
