"""What commands share: the run of a stage, what a person is told, and how a command ends."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import click

from downstream import outbox
from downstream.alerts import is_news, is_over, told
from downstream.children import end_all
from downstream.domain.errors import Interrupted, Misconfigured, NoRoom, Paused
from downstream.domain.troubles import is_machine_trouble
from downstream.exit_codes import ExitCode
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.installation import require_installation
from downstream.machine import machine_trouble
from downstream.settings import read_environment, read_settings

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from downstream.domain.errors import StopRun
    from downstream.domain.ports import Hosting, Progress
    from downstream.estimate import Estimate
    from downstream.settings import Settings
    from downstream.shop.shop import Shop
    from downstream.stages.context import Context, Outcome

_LOGS = {"process": "processor", "review": "reviewer", "undo": "reviewer"}
SHOP_LOG = "shop"


def now() -> datetime:
    return datetime.now(UTC)


def settings_of(home: Path) -> Settings:
    return read_settings(read_environment(home, os.environ))


def stage_settings(home: Path) -> Settings:
    """The settings, for what cron runs: that they cannot be read is told once and not at every tick.

    Raises:
        Misconfigured: they cannot.
    """
    try:
        found = settings_of(home)
    except Misconfigured:
        if is_news(home, "settings", now()) or sys.stderr.isatty():
            raise
        sys.exit(ExitCode.MISCONFIGURED)
    if is_over(home, "settings"):
        tell(home, "all clear: the settings can be read again")
    return found


def require_running(home: Path) -> None:
    """Returns when the heartbeat allows work; an overdue renewal is told of once a day."""
    require_installation(home)
    if not outbox.is_empty(home):
        _tell_what_waits(home)
    found = read_heartbeat(home, now())
    if found.pulse is Pulse.PAUSED:
        # Under cron, every tick would mail it.
        news = is_news(home, "paused", now())
        if news:
            mail_operator(home, settings_of(home), [f"paused: {found.why}"])
        if news or sys.stderr.isatty():
            raise Paused(found.why)
        sys.exit(ExitCode.PAUSED)
    if is_over(home, "paused"):
        tell(home, "working again: the heartbeat is back")
    if found.pulse is Pulse.CAUTIOUS and not found.is_sunset and is_news(home, "cautious", now()):
        tell(home, f"cautious: {found.why}")
    elif found.pulse is Pulse.ACTIVE and is_over(home, "cautious"):
        tell(home, "the heartbeat was renewed")


def _tell_what_waits(home: Path) -> None:
    try:
        settings = settings_of(home)
    except Misconfigured:
        return  # the command itself will say so
    outbox.send(home, settings)
    outbox.hand_over(home, settings, lambda sentence: click.echo(sentence, err=True))


def shop_of(home: Path) -> Shop:
    """The shop door, for commands: what the operator must hear is also printed."""
    from downstream.log import open_log
    from downstream.suppliers import open_shop

    return open_shop(home, settings_of(home), open_log(home, SHOP_LOG), lambda sentence: click.echo(sentence, err=True))


def host_of(home: Path, settings: Settings) -> Hosting | None:
    """Who shows the pages of paid orders; None while the keys are not all set."""
    from downstream.domain.ports import Silence
    from downstream.log import open_log
    from downstream.suppliers import equip

    suppliers = equip(home, settings, "forget", open_log(home, SHOP_LOG), Silence()).suppliers
    return suppliers.live().hosting if suppliers.live else None


def tell(home: Path, sentence: str) -> None:
    """A person reads this on the terminal or in cron's mail, and in a mail of ours."""
    click.echo(sentence, err=True)
    mail_operator(home, settings_of(home), [sentence])


def mail_operator(home: Path, settings: Settings, sentences: list[str]) -> None:
    """The sentences are mailed, or wait for that, where mail to the operator is set up."""
    outbox.put(home, settings, sentences, now())
    outbox.send(home, settings)


def estimated(home: Path, stream_id: str) -> Estimate:
    from downstream.domain.ports import Silence
    from downstream.estimate import estimate, priceable
    from downstream.log import open_log
    from downstream.suppliers import equip

    log = open_log(home, _LOGS["process"])
    return estimate(equip(home, priceable(settings_of(home)), "estimate", log, Silence()), stream_id)


def run_stage(
    home: Path,
    name: str,
    run: Callable[[Context], object],
    settings: Settings | None = None,
    *,
    follow: bool = False,
    begin: Callable[[], None] = lambda: None,
) -> tuple[Outcome, int | None]:
    """Runs one stage with its log and progress; returns what came of it and the signal that ended it, if any.

    ``settings`` are the installation's own unless given. With ``follow`` steps are told as lines also where no terminal
    is. ``begin`` is called when a job is taken up.
    """
    from downstream.domain.ports import Silence
    from downstream.log import on_terminal, open_log
    from downstream.suppliers import equip

    settings = settings or stage_settings(home)
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
        context = equip(home, settings, name, open_log(home, _LOGS.get(name, name), show), progress)
        context.begin = begin
        caught = stack.enter_context(_ending_on_signals(context.stop))
        run(context)
    is_known = _report_end(home, settings, name, context.outcome)
    outbox.send(home, settings)
    if is_known and not sys.stderr.isatty():
        say(context.outcome)
        sys.exit(ExitCode.MISCONFIGURED)
    return context.outcome, caught[0] if caught else None


def _report_end(home: Path, settings: Settings, name: str, outcome: Outcome) -> bool:
    """Why a run had to end is mailed once, and so is the all clear; returns whether a person knows it already."""
    if isinstance(outcome.stopped, Interrupted | Paused):
        return False
    if outcome.stopped is not None:
        return _is_known(home, settings, name, outcome.stopped)
    if [reason for reason in told(home, f"stopped.{name}.") if is_over(home, reason)]:
        outcome.told.append(f"all clear: {name} works again")
        outbox.put(home, settings, outcome.told[-1:], now())
    return False


def _is_known(home: Path, settings: Settings, name: str, stopped: StopRun) -> bool:
    """A person knows already why the run had to end; else it is mailed."""
    news = is_news(home, f"stopped.{name}.{_cause(stopped)}", now())
    if news:
        outbox.put(home, settings, [f"stopped: {stopped}"], now())
    return not news


@contextmanager
def troubles_told_once(home: Path, name: str) -> Iterator[None]:
    """A fault of the machine that ends a command outside of its stage is told as one within it is: once."""
    try:
        yield
    except Exception as error:
        if not is_machine_trouble(error):
            raise
        trouble, settings = machine_trouble(error, home), settings_of(home)
        is_known = _is_known(home, settings, name, trouble)
        outbox.send(home, settings)
        if is_known and not sys.stderr.isatty():
            sys.exit(ExitCode.MISCONFIGURED)
        raise trouble from error


def _cause(error: StopRun) -> str:
    """What ended a run, without the file that happened to be in hand or the figures of the moment."""
    return error.fingerprint if isinstance(error, NoRoom) else str(error).partition(" (")[0]


@contextmanager
def _ending_on_signals(stop: threading.Event) -> Iterator[list[int]]:
    """The first SIGTERM or Ctrl-C lets running pieces finish; a second one ends this process and its children."""
    caught: list[int] = []

    def handle(number: int, _: object) -> None:
        if caught:
            end_all()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        caught.append(number)
        stop.set()
        if sys.stderr.isatty():
            click.echo("finishing the pieces under way; once more to end at once", err=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(ended: tuple[Outcome, int | None], done: str) -> NoReturn:
    """Says what a person must read, and ends with the code that tells what happened."""
    outcome, signal_number = ended
    say(outcome)
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


def say(outcome: Outcome) -> None:
    for sentence in outcome.told:
        click.echo(sentence, err=True)


def end(code: ExitCode, sentence: str) -> NoReturn:
    """Ends with ``code``; the sentence is for somebody watching, or for a failure."""
    if sys.stderr.isatty() or code is ExitCode.SOME_FAILED:
        click.echo(sentence, err=True)
    sys.exit(code)


def walk(home: Path, settings: Settings) -> None:
    """What waits went through process and review, step by step for somebody to see."""
    from downstream.stages.process import process as make
    from downstream.stages.review import review as look

    for name, stage in (("process", make), ("review", look)):
        outcome, signal_number = run_stage(home, name, stage, settings, follow=True)
        say(outcome)
        if signal_number is not None:
            sys.exit(128 + signal_number)
