"""The ``claude`` command as director and editor (its public documentation; Agent SDK 0.2.187 for the shape of results).

It runs with no tools, no settings and no memory, in an empty folder, and knows nothing of our secrets.

What it answers is paid for, so a run that is asked to end waits for it. It holds the lock of the order it works for: if
we are killed, nobody takes the order up while it goes on spending, and then ``timeout`` (coreutils) ends it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from decimal import ROUND_CEILING, Decimal
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

from downstream.children import kept
from downstream.domain.editing import concerns_from, prompt_from, reword_task, screen_task
from downstream.domain.errors import DownstreamError, Misconfigured, OnHold, PersonDecides, Throttled, TryAgain, Unknown
from downstream.domain.planning import plan_task, production_from
from downstream.domain.prices import MICROS_PER_DOLLAR, micros

if TYPE_CHECKING:
    from collections.abc import Mapping

    from downstream.domain.ports import Call, Concern, Gate, PlanRequest, RewordRequest, ScreenRequest
    from downstream.domain.prices import Prices
    from downstream.domain.production import Production
    from downstream.domain.tasks import Task

TIMEOUT_SECONDS = 600.0
_GRACE_SECONDS = 5.0  # after which it is ended although nobody is there to do it
_NOT_STARTED = {126, 127}
"""How ``timeout``, and every shell, tells that there was nothing to run."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
_NO_CREDIT = 402
_NO_CREDIT_SECONDS = 3600.0
_BUSY = {429, 529}
_TURNED_AWAY = {401, 403}


class ClaudeDirector:
    """Plans with ``models.claude``."""

    name = "claude"

    def __init__(
        self,
        command: str,
        gate: Gate,
        prices: Prices,
        environment: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """``environment`` is what the command's own is chosen from; None is this process's."""
        self._claude = _Claude(command, gate, prices, environment, timeout_seconds)

    def price_micros(self, request: PlanRequest) -> int:  # noqa: ARG002 - the same for every story
        """The most one run may spend, in millionths of a dollar."""
        return self._claude.price_micros

    def plan(self, request: PlanRequest, call: Call) -> Production:
        """Returns the plan of a story; its sections are exact spans of the text.

        Raises:
            TryAgain: the answer is no valid plan.
        """
        return production_from(request, self._claude.answer(plan_task(request), "plan", call))


class ClaudeEditor:
    """Reads and rewords with ``models.claude``."""

    name = "claude"

    def __init__(
        self,
        command: str,
        gate: Gate,
        prices: Prices,
        environment: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """As ``ClaudeDirector``."""
        self._claude = _Claude(command, gate, prices, environment, timeout_seconds)

    def price_micros(self, request: ScreenRequest | RewordRequest) -> int:  # noqa: ARG002
        """The most one run may spend, in millionths of a dollar."""
        return self._claude.price_micros

    def screen(self, request: ScreenRequest, call: Call) -> tuple[Concern, ...]:
        """Returns what a person should look at first; nothing when the story may be produced.

        Raises:
            TryAgain: the story was not read to its end, so there is no verdict.
        """
        return concerns_from(request.story, self._claude.answer(screen_task(request.story), "screen", call))

    def reword(self, request: RewordRequest, call: Call) -> str:
        """Returns the image prompt in words that a content filter should let pass.

        Raises:
            TryAgain: the answer says nothing new.
        """
        what = f"reword {request.segment_id}"
        return prompt_from(request, self._claude.answer(reword_task(request), what, call))


class _Claude:
    """Runs the command."""

    def __init__(
        self, command: str, gate: Gate, prices: Prices, environment: Mapping[str, str] | None, timeout_seconds: float
    ) -> None:
        self._command = command
        self._gate = gate
        self._prices = prices
        given = os.environ if environment is None else environment
        self._environment = {name: given[name] for name in _PASSED_ON if name in given}
        self._timeout_seconds = timeout_seconds

    @property
    def price_micros(self) -> int:
        """The budget the command is held to; it may go over it by the turn it is in."""
        return micros(self._prices.claude_per_call)

    def answer(self, task: Task, what: str, call: Call) -> str:
        """The answer to ``task`` as JSON; what all runs for it cost is told, unless one ended without saying so.

        Raises:
            OnHold: the account is out of credit, for every process.
            TryAgain: it failed, or was throttled.
            Unknown: it ended without a result.
            PersonDecides: the task needs a larger budget.
            Misconfigured: the command is not there, or not logged in.
        """
        cost_micros, is_known = 0, True

        def send() -> str:
            nonlocal cost_micros, is_known
            call.check()
            is_known = False
            code, output = self._run(task, what, call)
            result = _result(output)
            if result is None and code in _NOT_STARTED:
                raise self._missing(call, f"exit code {code}")
            if result is None:
                raise Unknown(f"{what}: {self._command} ended with exit code {code} and without a result")
            cost_micros, is_known = cost_micros + self._cost_micros(result), True
            return _answer(result, code, what)

        try:
            return self._gate.run(send)
        finally:
            if is_known:
                call.spent(cost_micros, exact=False)

    def _run(self, task: Task, what: str, call: Call) -> tuple[int, bytes]:
        """Exit code and output; whatever happens, nothing of it runs on."""
        with TemporaryDirectory(prefix="claude-") as empty, TemporaryFile() as prompt, TemporaryFile() as output:
            prompt.write(task.material.encode("utf-8", "replace"))
            prompt.seek(0)

            def start() -> subprocess.Popen[bytes]:
                return subprocess.Popen(  # noqa: S603 - the operator's own command, no shell
                    [*self._ended_in_time(), *self._arguments(task)],
                    stdin=prompt,
                    stdout=output,
                    stderr=subprocess.DEVNULL,
                    cwd=empty,
                    env=self._environment,
                    start_new_session=True,
                    pass_fds=call.lock_descriptors,
                )

            try:
                with kept(start) as process:
                    code = process.wait(self._timeout_seconds)
            except OSError as error:
                raise self._missing(call, type(error).__name__) from None
            except subprocess.TimeoutExpired:
                seconds = f"{self._timeout_seconds:g} seconds"
                raise Unknown(f"{what}: {self._command} gave no answer in {seconds} and was ended") from None
            output.seek(0)
            return code, output.read()

    def _missing(self, call: Call, why: str) -> Misconfigured:
        """The command cannot be started; nothing was spent."""
        call.spent(0)
        return Misconfigured(f"{self._command} cannot be started ({why}): install it")

    def _ended_in_time(self) -> list[str]:
        """What goes before the command, so that it does not outlive us for long.

        Raises:
            FileNotFoundError: there is no such command; whoever is started before it could not say so.
        """
        if shutil.which(self._command, path=self._environment.get("PATH")) is None:
            raise FileNotFoundError(self._command)
        return ["timeout", "--signal=KILL", f"{self._timeout_seconds + _GRACE_SECONDS:g}"]

    def _arguments(self, task: Task) -> list[str]:
        """Customers' words are not among them: everybody on the machine can read arguments."""
        return [
            self._command,
            "-p",
            *("--output-format", "json"),
            *("--model", self._prices.models.claude),
            *("--tools", ""),
            *("--json-schema", json.dumps(task.schema)),
            *("--system-prompt", task.instructions),
            *("--max-turns", "3"),  # an answer with a schema may need more than one
            "--strict-mcp-config",
            *("--setting-sources", ""),
            *("--max-budget-usd", self._prices.claude_per_call),
        ]

    def _cost_micros(self, result: Mapping[str, Any]) -> int:
        """Its own figure, an estimate; without one nothing where it was not served, else the whole budget."""
        dollars = result.get("total_cost_usd")
        if isinstance(dollars, int | float) and 0 <= dollars < MICROS_PER_DOLLAR:
            return int((Decimal(str(dollars)) * MICROS_PER_DOLLAR).to_integral_value(ROUND_CEILING))
        return 0 if result.get("api_error_status") in {_NO_CREDIT, *_BUSY} else self.price_micros


def _result(output: bytes) -> dict[str, Any] | None:
    """The one object it prints."""
    try:
        result = json.loads(output)
    except ValueError:
        return None
    return result if isinstance(result, dict) and result.get("type") == "result" else None


def _answer(result: Mapping[str, Any], code: int, what: str) -> str:
    """The answer in a result, as JSON; raises where there is none."""
    answer = result.get("structured_output")
    # "success" together with is_error is how an API failure looks: no single sign is enough.
    if code == 0 and result.get("is_error") is False and answer is not None:
        return json.dumps(answer)
    raise _failure(result, code, what)


def _failure(result: Mapping[str, Any], code: int, what: str) -> DownstreamError:
    """What to raise for a result that is none; its own words are left out, for they may quote ours."""
    status = result.get("api_error_status")
    if status in _TURNED_AWAY:
        return Misconfigured(
            f"claude is turned away ({status}): set ANTHROPIC_API_KEY, or log in as the user of this job"
        )
    if status == _NO_CREDIT:
        reason = "claude's account is out of credit (402): top it up at Anthropic; asked again within the hour"
        return OnHold(reason, fingerprint="claude.credit", wait_seconds=_NO_CREDIT_SECONDS)
    if status in _BUSY:
        return Throttled(f"{what}: claude asks for less haste ({status})")
    subtype = str(result.get("subtype"))
    if subtype == "error_max_budget_usd":
        return PersonDecides(f"{what}: claude needs more than claude_per_call in prices.toml; raise it, then retry")
    known = subtype if subtype.isidentifier() and len(subtype) < 60 else "no kind"
    return TryAgain(
        f"{what}: claude failed ({known}, API status {status if isinstance(status, int) else 'none'}, exit {code})"
    )
