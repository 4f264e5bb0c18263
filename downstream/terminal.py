"""What somebody at a terminal sees: progress bars, and the walk through what waits for review."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from downstream.domain.checks import Decision, Inspection, Verdict
from downstream.domain.production import Production

if TYPE_CHECKING:
    from downstream.domain.job import Job
    from downstream.workspace import Workspace


class Bars:
    """One bar an order, showing the step it is at; log lines scroll by above."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stream]:<20}"),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, line: str) -> None:
        """A line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False)

    def advanced(self, stream_id: str, step: str, done: int, total: int) -> None:
        """The order's bar shows ``done`` of ``total`` pieces of ``step``."""
        with self._lock:
            if stream_id not in self._tasks:
                self._tasks[stream_id] = self._progress.add_task(step, stream=stream_id, total=total)
        self._progress.update(self._tasks[stream_id], description=step, completed=done, total=total)

    def finished(self, stream_id: str) -> None:
        """The order's bar is gone."""
        task = self._tasks.pop(stream_id, None)
        if task is not None:
            self._progress.remove_task(task)


class Lines:
    """One line a step, for a run whose output is kept."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def advanced(self, stream_id: str, step: str, done: int, total: int) -> None:
        """A line when a step is done."""
        if done == total and self._last.get(stream_id) != step:
            self._last[stream_id] = step
            click.echo(f"{step}: {total} of {total}", err=True)

    def finished(self, stream_id: str) -> None:
        """Says nothing."""


def ask(job: Job, inspection: Inspection, workspace: Workspace) -> Verdict | None:
    """Shows an order's facts, its contact sheet and its page, and asks what to do; None leaves it for later."""
    production = Production.model_validate_json(workspace.production.read_bytes())
    click.echo(f"\n{job.stream_id}: {production.stream.title}")
    click.echo(f"  paid           {job.paid if job.is_paid else 'no'}")
    click.echo(f"  segments       {len(production.segments)} ({', '.join(one.title for one in production.segments)})")
    click.echo(f"  regenerations  {job.regenerations()}")
    click.echo(f"  contact sheet  {workspace.review / 'contact-sheet.jpg'}")
    click.echo(f"  page           {workspace.page / 'index.html'}")
    click.echo(f"  hard checks    {len(inspection.checks) - len(inspection.failed)} of {len(inspection.checks)} passed")
    for check in inspection.failed:
        click.echo(f"                 {check.name} {check.segment_id} {check.detail}")
    return _ask_verdict(production, may_approve=inspection.passed)


def _ask_verdict(production: Production, *, may_approve: bool) -> Verdict | None:
    choices = (["approve"] if may_approve else []) + ["regenerate", "fail", "later"]
    answer = click.prompt("Decide", type=click.Choice(choices), default="later")
    if answer == "approve":
        return Verdict(decision=Decision.APPROVE, reason="approved by hand")
    if answer == "regenerate":
        known = {segment.id for segment in production.segments}
        segments = click.prompt("Which segments, as in 2,5", value_proc=lambda text: segment_ids(text, known))
        return Verdict(
            decision=Decision.REGENERATE, reason=click.prompt("What is wrong with them"), segment_ids=segments
        )
    if answer == "fail":
        return Verdict(decision=Decision.FAIL, reason=click.prompt("Why"))
    return None


def segment_ids(text: str, known: set[str] | None = None) -> tuple[str, ...]:
    """``2,5`` as segment ids, ``("02", "05")``.

    Raises:
        click.BadParameter: that is not a list of numbers, or not of segments there are.
    """
    try:
        ids = tuple(sorted({f"{int(part):02d}" for part in text.split(",")}))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of segment numbers such as 2,5") from None
    if known is not None and (unknown := set(ids) - known):
        raise click.BadParameter(f"there is no segment {', '.join(sorted(unknown))}")
    return ids
