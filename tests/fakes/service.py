"""What all the fakes do with a call: check it, let a planned fault happen, bill it, tell whoever listens, answer."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

from fakes.contract import Contract, Operation
from fakes.http_server import Answer, HttpServer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call. The modules of the services have functions that make their own kinds."""

    refused: int = 0
    """The status of an error that is answered instead of accepting the call; 0: accepted."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What the error says, in the words of the service's ``error``."""
    outcome: str = ""
    """What the service does differently after accepting, in its own words."""
    detail: str = ""
    """More about ``outcome``."""
    dropped: bool = False
    """The connection breaks before the call is accepted."""
    lost_reply: bool = False
    """The connection breaks after the call was accepted, and billed."""
    late_seconds: float = 0.0
    sent_share: float | None = None
    """The part of the reply's body that arrives (0-1)."""
    operations: frozenset[str] = frozenset()
    """The calls it happens to; the service's main ones when empty."""

    @classmethod
    def status(cls, status: int, **details: str) -> Self:
        """An error answer; ``details`` are the keywords of the service's ``error``, ``retry_after="2"`` for one."""
        return cls(refused=status, details=details)

    @classmethod
    def drop(cls) -> Self:
        """The connection breaks before the call is accepted."""
        return cls(dropped=True)

    @classmethod
    def lose_reply(cls) -> Self:
        """Accepted and billed, but the reply never arrives."""
        return cls(lost_reply=True)

    @classmethod
    def late(cls, seconds: float) -> Self:
        """Accepted and billed at once, answered ``seconds`` later than usual."""
        return cls(late_seconds=seconds)

    @classmethod
    def cut(cls, share: float = 0.5) -> Self:
        """Accepted and billed; the reply breaks off after ``share`` of its body."""
        return cls(sent_share=share)


@dataclass(frozen=True, slots=True)
class Charge:
    """One accepted call that costs money. ``micro_dollars`` are millionths of a US dollar."""

    service: str
    what: str
    model: str
    micro_dollars: int
    at: datetime
    call: Call


@dataclass
class Call:
    """One request as the service understands it."""

    request: Request
    operation: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The path's."""
    document: Any = None
    """The JSON body, or a form's fields."""
    fault: Fault = field(default_factory=Fault)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def words(self) -> str:
        """Every text in the body, one a line, encoded pictures and films left out."""
        return "\n".join(text for text in _texts(self.document) if not text.startswith("data:"))

    def mentions(self, words: str) -> bool:
        """Whether ``words`` stand anywhere in the body's texts or in the path."""
        return words in self.words or words in self.request.path


@dataclass
class _Planned:
    fault: Fault
    matches: Callable[[Call], bool]
    operations: frozenset[str]
    times: int


FOR_EVER = 1_000_000
"""``times`` for a fault that does not go away."""


class FakeService:
    """A server on loopback that stands for one service; subclasses add the operations.

    Leaving the context raises AssertionError when the fake itself broke its contract. What clients did wrong is in
    ``violations``.
    """

    name = ""
    main_operations: frozenset[str] = frozenset()
    invalid_status = 400
    handlers: Mapping[str, Callable[[Call], Answer]]

    def __init__(self) -> None:
        self.contract = Contract(self.name)
        self.violations: list[str] = []
        self.defects: list[str] = []
        self.bill: list[Charge] = []
        self.calls: list[Call] = []
        self.most_at_once: dict[str, int] = {}
        """The largest number of calls that were under way together, by operation."""
        self._under_way: dict[str, int] = {}
        self._faults: list[_Planned] = []
        self._listeners: list[Callable[[str, Call], None]] = []
        self._lock = RLock()
        self.server = HttpServer(lambda request: self._respond(request, self._answer))
        self.base_url = ""

    def __enter__(self) -> Self:
        self.base_url = f"http://{self.server.open_port()}"
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.server.stop()
        if kind is None and self.defects:
            raise AssertionError("\n".join(self.defects))

    def fail_next(
        self,
        fault: Fault,
        match: Callable[[Call], bool] | str = "",
        *,
        times: int = 1,
        operations: set[str] | None = None,
    ) -> None:
        """Lets ``fault`` happen to the next ``times`` calls that match: a predicate, or words the call mentions.

        Only ``operations`` are hit (OpenAPI's operationId); without them the fault's own, else the main ones.
        """
        matches = match if callable(match) else lambda call: call.mentions(match)
        meant = frozenset(operations or fault.operations or self.main_operations)
        with self._lock:
            self._faults.append(_Planned(fault, matches, meant, times))

    @property
    def faults_left(self) -> int:
        """How many planned faults have not happened yet."""
        return sum(planned.times for planned in self._faults)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._faults.clear()

    def on_request(self, listener: Callable[[str, Call], None]) -> None:
        """Calls ``listener(moment, call)`` in the server's thread: ``accepted``, ``before_reply``, ``after_reply``."""
        self._listeners.append(listener)

    def calls_of(self, *operations: str) -> list[Call]:
        """The calls received so far, refused ones too."""
        return [call for call in self.calls if call.operation in operations]

    def spent_micro_dollars(self) -> int:
        """The bill's total."""
        return sum(charge.micro_dollars for charge in self.bill)

    # What subclasses fill in or change

    def error(self, status: int, **details: str) -> Answer:
        """The service's own error answer."""
        raise NotImplementedError

    def stranger(self, call: Call) -> Answer | None:
        """The refusal of a call without valid credentials."""
        raise NotImplementedError

    def read_body(self, request: Request) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        return json.loads(request.body) if request.body else None

    def further_problems(self, call: Call) -> Iterator[str]:  # noqa: ARG002 - for subclasses
        """What is wrong with a call that the document cannot say."""
        yield from ()

    def beside(self, operation: str, answer: Callable[[Call], Answer]) -> HttpServer:
        """Another host of the service, outside its document: calls are recorded and may be hit by faults."""

        def answer_call(call: Call) -> Answer:
            call.operation = operation
            self._record(call)
            call.fault = self._take_fault(call)
            if call.fault.dropped:
                return Answer.nothing()
            if call.fault.refused:
                return Answer(call.fault.refused, b"Not today.", {"content-type": "text/plain"})
            return self._spoil_transport(answer(call), call.fault)

        return HttpServer(lambda request: self._respond(request, answer_call))

    # The way of a call

    def _respond(self, request: Request, answer_call: Callable[[Call], Answer]) -> Answer:
        call = Call(request, f"{request.method} {request.path}")
        try:
            answer = answer_call(call)
        except Exception:  # noqa: BLE001 - a defect of the fake must reach the test, not the client only
            self.defects.append(traceback.format_exc())
            answer = Answer(500, b"the fake broke")
        answer.tell = lambda moment: self._tell(moment, call)
        return answer

    def _answer(self, call: Call) -> Answer:
        request = call.request
        operation = self.contract.find(request.method, request.path)
        if operation is None:
            self._record(call)
            return self._invalid(call, [f"{call.operation}: no such operation"], 404)
        call.operation, call.parameters = operation.name, operation.path_parameters
        self._record(call)
        refusal = self.stranger(call)
        if refusal is not None:
            return refusal
        problems = self._problems(operation, call)
        call.fault = self._take_fault(call)
        if call.fault.dropped:
            return Answer.nothing()
        if problems:
            return self._invalid(call, problems, self.invalid_status)
        if call.fault.refused:
            return self.error(call.fault.refused, **call.fault.details)
        return self._accept(call, operation)

    def _accept(self, call: Call, operation: Operation | None) -> Answer:
        with self._lock:
            answer = self.handlers[call.operation](call)
            self._begin(call)
        if operation is not None and not call.fault.outcome.startswith("undocumented"):
            self.defects.extend(self.contract.answer_problems(operation, answer.status, answer.document))
        if answer.status < 400:
            self._tell("accepted", call)
        self.server.wait(answer.wait_seconds)
        self._end(call)
        answer.wait_seconds = 0.0
        return self._spoil_transport(answer, call.fault)

    def _spoil_transport(self, answer: Answer, fault: Fault) -> Answer:
        answer.wait_seconds += fault.late_seconds
        answer.sent_share = -1.0 if fault.lost_reply else fault.sent_share
        return answer

    def _problems(self, operation: Operation, call: Call) -> list[str]:
        request = call.request
        try:
            call.document = self.read_body(request)
        except ValueError as error:
            return [f"the body cannot be read: {error}"]
        problems = self.contract.request_problems(operation, request.query, request.headers, call.document)
        return problems or list(self.further_problems(call))

    def _invalid(self, call: Call, problems: list[str], status: int) -> Answer:
        self.violations.extend(f"{call.operation}: {problem}" for problem in problems)
        return self.error(status, message="; ".join(problems))

    def _take_fault(self, call: Call) -> Fault:
        with self._lock:
            for planned in self._faults:
                if call.operation in planned.operations and planned.times and planned.matches(call):
                    planned.times -= 1
                    return planned.fault
        return Fault()

    def _record(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)

    def _begin(self, call: Call) -> None:
        now = self._under_way[call.operation] = self._under_way.get(call.operation, 0) + 1
        self.most_at_once[call.operation] = max(now, self.most_at_once.get(call.operation, 0))

    def _end(self, call: Call) -> None:
        with self._lock:
            self._under_way[call.operation] -= 1

    def _charge(self, call: Call, what: str, model: str, micro_dollars: int) -> None:
        self.bill.append(Charge(self.name, what, model, micro_dollars, datetime.now(UTC), call))

    def _tell(self, moment: str, call: Call) -> None:
        for listener in self._listeners:
            listener(moment, call)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, value in node.items():
            if name != "data":  # a picture or a film, encoded
                yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
