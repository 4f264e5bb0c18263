"""The installation itself: laid out, looked over, stopped."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from downstream.commands.common import end, now, settings_of, walk
from downstream.domain.state import State
from downstream.exit_codes import ExitCode
from downstream.heartbeat import SUNSET, Pulse, read_heartbeat
from downstream.installation import require_installation
from downstream.locks import Lock
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from downstream.heartbeat import Heartbeat


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def init(folder: Path) -> None:
    """Lay out a new installation in DIR; what is there already is left as it is."""
    from downstream.installation import lay_out

    lay_out(folder, today=now().date(), program=_program())
    click.echo(
        f"{folder} is ready: drop jobs into {folder / 'jobs' / 'pending'}, then downstream --home {folder} process"
    )


@click.command()
@click.option("--offline", is_flag=True, help="Ask no service: look at this machine only.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def doctor(home: Path, offline: bool, as_json: bool) -> None:  # noqa: FBT001
    """Check what unattended work needs: machine, settings, keys, models, mail, books, cron.

    One line for each finding: ok, warn or FAIL, what was found, and what to do. Keys are tried by calls that cost
    nothing; nothing is spent, published, mailed or changed. Ends with 6 when anything says FAIL.
    """
    from downstream.doctor import examine

    found = []
    for finding in examine(home, os.environ, now(), offline=offline):
        found.append(finding)
        if not as_json:
            click.echo(finding)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    sys.exit(ExitCode.MISCONFIGURED if any(one.level == "FAIL" for one in found) else ExitCode.DONE)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]", default=Path("demo"))
def demo(folder: Path) -> None:
    """Make a page from the sample story, with no keys and no network, in an installation of its own.

    The page's path is printed last. DIR defaults to ./demo; a demo that is finished already is only shown.
    """
    from downstream.domain.job import Job
    from downstream.installation import lay_out

    lay_out(folder, today=now().date(), program=_program())
    queue = Queue(folder)
    queue.enqueue(Job(stream_id="demo", customer_email="reader@example.com"))
    walk(folder, settings_of(folder))
    page = folder.resolve() / "streams" / "demo" / "public" / "index.html"
    if queue.find("demo") != State.COMPLETED or not page.exists():
        end(ExitCode.SOME_FAILED, f"no page came of it: downstream --home {folder} show demo")
    click.echo(page)


@click.group(invoke_without_command=True)
@click.pass_context
def heartbeat(context: click.Context) -> None:
    """Show the killswitch, HEARTBEAT.md, or write it: renew, pause, resume."""
    if context.invoked_subcommand is None:
        found = read_heartbeat(context.obj, now())
        due = f", to be renewed by {found.due}" if found.due else ""
        click.echo(f"{found.pulse.value}: {found.why}{due}")
        context.exit(ExitCode.PAUSED if found.pulse is Pulse.PAUSED else ExitCode.DONE)


@heartbeat.command()
@click.option("--every", "days", type=click.IntRange(1, 366), help="Days until the next renewal is due.")
@click.pass_obj
def renew(home: Path, days: int | None) -> None:
    """Note that somebody is there: today is the day of renewal. A pause stays a pause."""
    with heartbeat_in_hand(home) as found:
        status = "ACTIVE" if found.status in {"", "ACTIVE", "CAUTIOUS"} else found.status
        say_in_heartbeat(home, status=status, renewed=None, days=days or found.renew_days, reason=found.reason)


@heartbeat.command()
@click.option("--reason", default="", help="Is shown wherever work is refused.")
@click.pass_obj
def pause(home: Path, reason: str) -> None:
    """Stop everything: nothing is touched and nothing is lost until resume."""
    with heartbeat_in_hand(home) as found:
        if found.is_sunset:
            reason = f"{SUNSET.lower()}: {reason}"
        say_in_heartbeat(home, status="PAUSED", reason=reason, renewed=found.renewed, days=found.renew_days)


@heartbeat.command()
@click.option("--reopen", is_flag=True, help="Also take new orders again in a shop that sunset closed.")
@click.pass_obj
def resume(home: Path, reopen: bool) -> None:  # noqa: FBT001
    """Work again after a pause. A shop that sunset closed finishes what is paid and stays closed."""
    with heartbeat_in_hand(home) as found:
        status = SUNSET if found.is_sunset and not reopen else "ACTIVE"
        say_in_heartbeat(home, status=status, renewed=found.renewed, days=found.renew_days)


def _program() -> str:
    """How cron calls this program."""
    return (
        str(Path(sys.argv[0]).resolve())
        if Path(sys.argv[0]).name == "downstream"
        else f"{sys.executable} -m downstream"
    )


@contextmanager
def heartbeat_in_hand(home: Path) -> Iterator[Heartbeat]:
    """What HEARTBEAT.md says while nobody else rewrites it: a renewal must not undo a pause of the same moment."""
    require_installation(home)
    with Lock.wait(home / "logs" / ".heartbeat.lock"):
        yield read_heartbeat(home, now())


def say_in_heartbeat(home: Path, *, status: str, renewed: date | None, days: int, reason: str = "") -> None:
    from downstream.heartbeat import write_heartbeat

    write_heartbeat(home, status=status, renewed=renewed or now().date(), renew_days=days, reason=reason)
    found = read_heartbeat(home, now())
    click.echo(f"{found.pulse.value}: {found.why}")
