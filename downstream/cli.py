"""The command line. Commands are doormats: they parse, call one function and choose the exit code.

Nothing heavy is imported until there is work: cron calls this every few minutes, nearly always for nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from downstream import __version__
from downstream.alerts import is_news, is_over
from downstream.domain.errors import Interrupted, Paused, StopRun
from downstream.exit_codes import ExitCode
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.installation import require_installation
from downstream.locks import Lock
from downstream.queue import Busy, NoSuchJob, Queue, StillWritten, Unreadable
from downstream.settings import read_settings

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from datetime import date

    from downstream.domain.checks import Verdict
    from downstream.domain.ports import Progress, Providers
    from downstream.heartbeat import Heartbeat
    from downstream.stages.context import Context, Outcome

_LOGS = {"process": "processor", "review": "reviewer"}
_STEPS = ("plan", "keyframes", "clips", "frames", "page")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="DOWNSTREAM_HOME",
    default=Path(),
    help="The installation's root folder.  [default: $DOWNSTREAM_HOME, else the current folder]",
)
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context, home: Path) -> None:
    """Turns paid orders - a story and a visual brief - into scroll-driven web pages.

    A job is a JSON file, its folder below jobs/ is its state. Cron runs the five stages (process, review, daily,
    weekly, monthly); every one of them may be run by hand at any time, also twice at once.

    \b
    Exit codes: 0 done, 3 nothing to do, 4 some jobs failed, 5 paused by HEARTBEAT.md, 6 misconfigured,
    7 something waits for a later try or a person, 130/143 ended by Ctrl-C or SIGTERM; 1 a fault in the program,
    2 a wrong command line.
    """
    context.obj = home


def main() -> NoReturn:
    """Runs the command line; whatever it creates only its owner can read."""
    os.umask(0o077)
    try:
        cli()
    except Paused as error:
        click.echo(f"paused: {error}", err=True)
        sys.exit(ExitCode.PAUSED)
    except StopRun as error:
        click.echo(f"stopped: {error}", err=True)
        sys.exit(ExitCode.MISCONFIGURED)
    except NoSuchJob as error:
        click.echo(f"there is no such job: {error}; see downstream status", err=True)
        sys.exit(ExitCode.NOTHING_TO_DO)
    except Busy as error:
        click.echo(f"{error} is being worked on right now; try again when it is done", err=True)
        sys.exit(ExitCode.WAITING)
    except StillWritten:
        click.echo("its file breaks off in the middle; is it still being written? Try again in a moment", err=True)
        sys.exit(ExitCode.WAITING)
    except Unreadable as error:
        click.echo(f"its file is not a job: {error}", err=True)
        sys.exit(ExitCode.SOME_FAILED)
    except OSError as error:
        click.echo(f"the machine is in trouble: {error.strerror} {error.filename or ''}".rstrip(), err=True)
        sys.exit(ExitCode.MISCONFIGURED)
    except Exception as error:  # noqa: BLE001 - messages of unexpected errors may quote a customer
        from downstream.log import where

        found = where(error)
        click.echo(f"a fault in the program: {found['error']} at {', '.join(found['trace'])}", err=True)
        sys.exit(ExitCode.FAULT)
    sys.exit(ExitCode.DONE)


# --- the five stages -------------------------------------------------------------------------------------------


@cli.command()
@click.pass_obj
def process(home: Path) -> None:
    """Make the pages of the orders that wait in jobs/pending.

    First paid, first served. Each step - plan, keyframes, clips, frames, page - resumes where an earlier run left
    off. A finished page waits in jobs/review.
    """
    _require_running(home)
    queue = Queue(home)
    if queue.is_empty("pending") and queue.is_empty("processing"):
        _end(ExitCode.NOTHING_TO_DO, "no order waits")
    from downstream.stages.process import process as run

    _finish(_run(home, "process", run), "made, now in review")


@cli.command()
@click.option("--approve", metavar="ID", help="Approve this page and deliver it.")
@click.option("--regenerate", metavar="ID", help="Have segments of this page made again.")
@click.option("--segments", metavar="N,N", help="Which segments, with --regenerate.")
@click.option("--note", help="What is wrong with them; reaches the next prompt.")
@click.option("--fail", metavar="ID", help="Give this order up to jobs/failed.")
@click.option("--reason", help="Why, with --fail.")
@click.option("--ask", is_flag=True, help="Walk through what waits and ask, also when REVIEW_POLICY is auto.")
@click.pass_obj
def review(home: Path, /, ask: bool, **by_hand: str | None) -> None:  # noqa: FBT001 - click passes flags
    """Check the pages in jobs/review, decide, and deliver what is approved.

    REVIEW_POLICY=auto (the default) decides by the hard checks. REVIEW_POLICY=operator waits for a person: on a
    terminal this command walks through what waits and asks.

    \b
    downstream review --approve ID
    downstream review --regenerate ID --segments 2,5 --note "the boat has no sail"
    downstream review --fail ID --reason "the customer withdrew"
    """
    decided = _decision(by_hand)
    _require_running(home)
    if decided is None and Queue(home).is_empty("review"):
        _end(ExitCode.NOTHING_TO_DO, "no page waits for review")
    from downstream.stages.review import decide_by_hand
    from downstream.stages.review import review as run

    try:
        if decided is not None:
            _finish(_run(home, "review", lambda context: decide_by_hand(context, *decided)), "decided")
        if ask or (sys.stdin.isatty() and read_settings(os.environ).review_policy == "operator"):
            from downstream.terminal import ask as ask_operator

            _finish(_run(home, "review", lambda context: run(context, ask_operator)), "decided")
        _finish(_run(home, "review", run), "decided")
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@cli.command()
@click.pass_obj
def daily(home: Path) -> None:
    """Write the day's review to logs/reviews: what failed, what waits, what happened.

    Also makes up for days that were missed, and works off triggers/daily-YYYY-MM-DD.trigger files dropped by hand.
    """
    _review_business(home, "daily")


@cli.command()
@click.pass_obj
def weekly(home: Path) -> None:
    """Write the week's review to logs/reviews (triggers/weekly-YYYY-Www.trigger asks for one by hand)."""
    _review_business(home, "weekly")


@cli.command()
@click.pass_obj
def monthly(home: Path) -> None:
    """Write the month's review to logs/reviews (triggers/monthly-YYYY-MM.trigger asks for one by hand)."""
    _review_business(home, "monthly")


# --- the operator's verbs --------------------------------------------------------------------------------------


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def status(home: Path, as_json: bool) -> None:  # noqa: FBT001
    """Show where every order stands. Reads files only."""
    require_installation(home)
    from downstream.overview import status as look

    found = look(home, _now())
    if as_json:
        import json

        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    click.echo(f"heartbeat  {found.heartbeat} ({found.heartbeat_why})")
    click.echo("jobs       " + ", ".join(f"{count} {state}" for state, count in found.counts.items()))
    if found.jobs:
        width = max(len(row.stream_id) for row in found.jobs)
        click.echo(f"\n{'order':<{width}}  {'state':<10}  {'since':<22}  {'paid':<10}  note")
        for row in found.jobs:
            click.echo(
                f"{row.stream_id:<{width}}  {row.state:<10}  {row.since:<22}  {row.paid:<10}  {row.note}".rstrip()
            )
    hidden = sum(count for state, count in found.counts.items() if state != "completed") - len(found.jobs)
    if hidden > 0:
        click.echo(f"... and {hidden} more in pending")


@cli.command()
@click.argument("stream_id", metavar="ID")
@click.pass_obj
def show(home: Path, stream_id: str) -> None:
    """Show the life of one order: what was made, decided, published and mailed, and when."""
    require_installation(home)
    from downstream.overview import life

    for line in life(home, stream_id):
        click.echo(line)


@cli.command()
@click.argument("stream_id", metavar="ID")
@click.option("--from", "step", type=click.Choice(_STEPS), help="Make this step again, and what is made from it.")
@click.option(
    "--segment",
    type=click.IntRange(1, 99),
    metavar="N",
    help="Only this segment, with --from keyframes, clips or frames.",
)
@click.pass_obj
def retry(home: Path, stream_id: str, step: str | None, segment: int | None) -> None:
    """Send a failed order round again: jobs/failed to jobs/pending.

    Without --from nothing that is finished is made again.
    """
    if segment is not None and step not in {"keyframes", "clips", "frames"}:
        raise click.UsageError("--segment goes with --from keyframes, clips or frames")
    require_installation(home)
    from downstream.retry import retry as run

    run(Queue(home), stream_id, step=step, segment_id=f"{segment:02d}" if segment else None, now=_now())
    click.echo(f"{stream_id} waits in jobs/pending; downstream process takes it up")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def init(folder: Path) -> None:
    """Lay out a new installation in DIR; what is there already is left as it is."""
    from downstream.installation import lay_out

    lay_out(folder, today=_now().date(), program=_program())
    click.echo(
        f"{folder} is ready: drop jobs into {folder / 'jobs' / 'pending'}, then downstream --home {folder} process"
    )


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]", default=Path("demo"))
def demo(folder: Path) -> None:
    """Make a page from the sample story, with no keys and no network, in an installation of its own.

    The page's path is printed last. DIR defaults to ./demo; a demo that is finished already is only shown.
    """
    from downstream.domain.job import Job
    from downstream.installation import lay_out

    lay_out(folder, today=_now().date(), program=_program())
    queue = Queue(folder)
    queue.enqueue(Job(stream_id="demo", customer_email="reader@example.com"))
    from downstream.stages.process import process as make
    from downstream.stages.review import review as look

    for name, stage in (("process", make), ("review", look)):
        outcome, signal_number = _run(folder, name, stage, follow=True)
        _say(outcome)
        if signal_number is not None:
            sys.exit(128 + signal_number)
    page = folder.resolve() / "streams" / "demo" / "public" / "index.html"
    if queue.find("demo") != "completed" or not page.exists():
        _end(ExitCode.SOME_FAILED, f"no page came of it: downstream --home {folder} show demo")
    click.echo(page)


@cli.group(invoke_without_command=True)
@click.pass_context
def heartbeat(context: click.Context) -> None:
    """Show the killswitch, HEARTBEAT.md, or write it: renew, pause, resume."""
    if context.invoked_subcommand is None:
        found = read_heartbeat(context.obj, _now())
        due = f", to be renewed by {found.due}" if found.due else ""
        click.echo(f"{found.pulse.value}: {found.why}{due}")
        context.exit(ExitCode.PAUSED if found.pulse is Pulse.PAUSED else ExitCode.DONE)


@heartbeat.command()
@click.option("--every", "days", type=click.IntRange(1, 366), help="Days until the next renewal is due.")
@click.pass_obj
def renew(home: Path, days: int | None) -> None:
    """Note that somebody is there: today is the day of renewal. A pause stays a pause."""
    with _heartbeat_in_hand(home) as found:
        status = "ACTIVE" if found.status in {"", "ACTIVE", "CAUTIOUS"} else found.status
        _write_heartbeat(home, status=status, renewed=None, days=days or found.renew_days, reason=found.reason)


@heartbeat.command()
@click.option("--reason", default="", help="Is shown wherever work is refused.")
@click.pass_obj
def pause(home: Path, reason: str) -> None:
    """Stop everything: nothing is touched and nothing is lost until resume."""
    with _heartbeat_in_hand(home) as found:
        _write_heartbeat(home, status="PAUSED", reason=reason, renewed=found.renewed, days=found.renew_days)


@heartbeat.command()
@click.pass_obj
def resume(home: Path) -> None:
    """Work again after a pause."""
    with _heartbeat_in_hand(home) as found:
        _write_heartbeat(home, status="ACTIVE", renewed=found.renewed, days=found.renew_days)


# --- what commands share ---------------------------------------------------------------------------------------


def _now() -> datetime:
    return datetime.now(UTC)


def _program() -> str:
    """How cron calls this program."""
    return (
        str(Path(sys.argv[0]).resolve())
        if Path(sys.argv[0]).name == "downstream"
        else f"{sys.executable} -m downstream"
    )


def _require_running(home: Path) -> None:
    """Returns when the heartbeat allows work; an overdue renewal is told of once a day."""
    require_installation(home)
    found = read_heartbeat(home, _now())
    if found.pulse is Pulse.PAUSED:
        # Under cron, every tick would mail it.
        if sys.stderr.isatty() or is_news(home, "paused", _now()):
            raise Paused(found.why)
        sys.exit(ExitCode.PAUSED)
    if is_over(home, "paused"):
        click.echo("working again: the heartbeat is back", err=True)
    if found.pulse is Pulse.CAUTIOUS and is_news(home, "cautious", _now()):
        click.echo(f"cautious: {found.why}", err=True)
    elif found.pulse is Pulse.ACTIVE:
        is_over(home, "cautious")


def _run(
    home: Path, name: str, run: Callable[[Context], object], *, follow: bool = False
) -> tuple[Outcome, int | None]:
    """Runs one stage with its settings, log and progress; returns what came of it and the signal that ended it, if any.

    With ``follow`` steps are told as lines also where no terminal is.
    """
    from downstream.domain.ports import Silence, Suppliers
    from downstream.log import on_terminal, open_log
    from downstream.stages.context import Context

    settings = read_settings(os.environ)
    progress: Progress = Silence()
    show: Callable[[str], None] | None = None
    with ExitStack() as stack:
        if on_terminal():
            from downstream.terminal import Bars

            bars = stack.enter_context(Bars())
            progress, show = bars, bars.show
        elif follow:
            from downstream.terminal import Lines

            progress = Lines()
        context = Context(
            home=home,
            settings=settings,
            queue=Queue(home),
            suppliers=Suppliers(embedded=cache(partial(_embedded, home))),
            log=open_log(home, _LOGS.get(name, name), show),
            progress=progress,
            stage=name,
        )
        caught = stack.enter_context(_ending_on_signals(context.stop))
        run(context)
    return context.outcome, caught[0] if caught else None


def _embedded(home: Path) -> Providers:
    from downstream.domain.ports import Providers
    from downstream.providers.embedded.clips import EmbeddedClips
    from downstream.providers.embedded.director import EmbeddedDirector
    from downstream.providers.embedded.hosting import EmbeddedHosting
    from downstream.providers.embedded.keyframes import EmbeddedKeyframes
    from downstream.providers.embedded.mail import EmbeddedMail

    return Providers(
        director=EmbeddedDirector(),
        keyframes=EmbeddedKeyframes(),
        clips=EmbeddedClips(),
        hosting=EmbeddedHosting(home),
        mail=EmbeddedMail(home),
    )


@contextmanager
def _ending_on_signals(stop: threading.Event) -> Iterator[list[int]]:
    """The first SIGTERM or Ctrl-C lets running pieces finish; a second one ends the process at once."""
    caught: list[int] = []

    def handle(number: int, _: object) -> None:
        caught.append(number)
        stop.set()
        signal.signal(number, signal.SIG_DFL)
        if sys.stderr.isatty():
            click.echo("finishing the pieces under way; once more to end at once", err=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish(ended: tuple[Outcome, int | None], done: str) -> NoReturn:
    """Says what a person must read, and ends with the code that tells what happened."""
    outcome, signal_number = ended
    _say(outcome)
    if outcome.done and sys.stdout.isatty():
        click.echo(f"{len(outcome.done)} {done}: {', '.join(outcome.done)}")
    if isinstance(outcome.stopped, Interrupted) and signal_number is not None:
        sys.exit(128 + signal_number)
    if outcome.stopped is not None and not isinstance(outcome.stopped, Interrupted):
        raise outcome.stopped
    if outcome.failed:
        sys.exit(ExitCode.SOME_FAILED)
    if outcome.later:
        sys.exit(ExitCode.WAITING)
    sys.exit(ExitCode.DONE if outcome.done else ExitCode.NOTHING_TO_DO)


def _say(outcome: Outcome) -> None:
    for sentence in outcome.told:
        click.echo(sentence, err=True)


def _end(code: ExitCode, sentence: str) -> NoReturn:
    """Ends with ``code``; the sentence is for somebody watching, or for a failure."""
    if sys.stderr.isatty() or code is ExitCode.SOME_FAILED:
        click.echo(sentence, err=True)
    sys.exit(code)


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


def _review_business(home: Path, name: str) -> NoReturn:
    from importlib import import_module

    _require_running(home)
    stage = getattr(import_module(f"downstream.stages.{name}"), name)
    written: list[Path] = []
    ended = _run(home, name, lambda context: written.extend(stage(context)))
    if sys.stdout.isatty():
        for path in written:
            click.echo(path)
        if not written:
            click.echo(f"the {name} review of this period is written already; see {home / 'logs' / 'reviews'}")
    _finish(ended, "written")


@contextmanager
def _heartbeat_in_hand(home: Path) -> Iterator[Heartbeat]:
    """What HEARTBEAT.md says while nobody else rewrites it: a renewal must not undo a pause of the same moment."""
    require_installation(home)
    with Lock.wait(home / "logs" / ".heartbeat.lock"):
        yield read_heartbeat(home, _now())


def _write_heartbeat(home: Path, *, status: str, renewed: date | None, days: int, reason: str = "") -> None:
    from downstream.heartbeat import write_heartbeat

    write_heartbeat(home, status=status, renewed=renewed or _now().date(), renew_days=days, reason=reason)
    found = read_heartbeat(home, _now())
    click.echo(f"{found.pulse.value}: {found.why}")
