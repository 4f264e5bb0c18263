"""What the fault matrix is made of: an order at some point of its way, the program, and all that must hold after a run.

Everything that a service says in an error quotes what it must not be told on: the keys, the customer, the story.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from conftest import environment
from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.services import Services
from live import CUSTOMER, STORY, Shop, plan

from downstream.domain.planning import plan_task
from downstream.domain.ports import PlanRequest
from downstream.domain.story import Story
from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fakes.smtp import FakeSmtp, Letter
    from fakes.vercel import FakeVercel

OPERATOR = "operator@example.com"
ORDER = "order-1"
TITLE = "What the lamplighter of Vinterhavn kept"
SENTENCE = "Sixteen brass keys lay under the ferryman's tongue, and none of them was his."
"""Stands in the story and nowhere else."""
TALE = f"{STORY}\n\n{SENTENCE}"

GOOGLE_KEY = "AIza-planted-google-key-4711"
REPLICATE_TOKEN = "r8_planted_replicate_token_4711"  # noqa: S105 - obviously no secret, like the others
VERCEL_TOKEN = "vc-planted-vercel-token-4711"  # noqa: S105
ANTHROPIC_KEY = "sk-ant-planted-anthropic-key-4711"
MAIL_PASSWORD = "planted:p@ss/w%rd-4711"  # noqa: S105

WRONG_KEY = "planted-wrong-key-4711"
_PLAIN = (WRONG_KEY, GOOGLE_KEY, REPLICATE_TOKEN, VERCEL_TOKEN, ANTHROPIC_KEY, MAIL_PASSWORD)
SECRETS = (
    *(secret[:10] for secret in _PLAIN),
    quote(MAIL_PASSWORD, safe="")[:10],
    *(base64.b64encode(secret.encode()).decode()[:12] for secret in _PLAIN),
    base64.b64encode(f"\0downstream\0{MAIL_PASSWORD}".encode()).decode()[:24],
)
"""How every form in which a secret could be met begins: a part of one is too much as well."""
OPENING = STORY.partition(".")[0]
PROMPTS = ("Harbour view number", "slow move number")
"""In what the models are asked for, which was made from the story."""
PRIVATE = (CUSTOMER, SENTENCE, TITLE, OPENING, *PROMPTS)
"""What is the customer's own."""
ECHO = f"Rejected, see {' '.join(_PLAIN)} and {CUSTOMER}: {TITLE}. {SENTENCE}"
"""What a talkative service says."""

SCREEN = "You read stories that customers have ordered"
PLAN = "You are the director of illustrated stories"
JUDGE = "You see one still picture for each segment"
JUDGE_CLIPS = "You see frames of each segment's clip"
"""What each question to a text model can be told by."""

WANTED = Counter({"gemini text": 4, "gemini keyframe": 6, "replicate clip": 5})
"""The bill of an order with which nothing goes wrong: screening, plan, two judgements; cast and stills; clips."""
BEFORE_CLIPS = Counter({"gemini text": 3, "gemini keyframe": 6})
IN_REVIEW = BEFORE_CLIPS + Counter({"replicate clip": 5})
TINY = {"CLIP_WIDTH": "112", "CLIP_HEIGHT": "62", "CLIP_SECONDS": "0.5", "SEGMENTS_AT_ONCE": "1"}
JUDGED = "after ledger settled judge/keyframes #1"
"""All keyframes are there, and judged; no clip was asked for."""
MOST_ROUNDS = 6
Point = Literal["pending", "before clips", "in review"]
"""How far an order has come when its row begins."""
_TEXTS = {".log", ".json", ".jsonl", ".refused", ".md", ""}


def services(*, vercel: FakeVercel | None = None, smtp: FakeSmtp | None = None) -> Services:
    """The services, as quick as they can be, with the planted keys."""
    size = (112, 62)
    found = Services(
        gemini=FakeGemini(key=GOOGLE_KEY, picture_size=(112, 63)),
        replicate=FakeReplicate(
            token=REPLICATE_TOKEN, clip_size=size, clip_seconds=0.5, clip_frames_per_second=12, smallest_side=60
        ),
        vercel=vercel,
        smtp=smtp,
    )
    found.vercel.token, found.smtp.password = VERCEL_TOKEN, MAIL_PASSWORD
    return found


@dataclass
class Program:
    """The program, loaded once; each run is a process of its own."""

    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def loaded(cls) -> Iterator[Self]:
        """The program, until the context ends."""
        command = [sys.executable, str(Path(__file__).parent / "killed_run.py")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield cls(process)
            assert process.stdin
            process.stdin.close()

    def run(
        self,
        arguments: list[str],
        environment: dict[str, str],
        output: Path,
        kill_at: str | None = None,
        instead: Sequence[str] = (),
        patience: Mapping[str, float] | None = None,
    ) -> int:
        """The exit code of one run; what it says is added to ``output``. The last three: as in ``killed_run``."""
        return int(self.ended(arguments, environment, output, kill_at, instead, patience)["code"])

    def ended(
        self,
        arguments: list[str],
        environment: dict[str, str],
        output: Path,
        kill_at: str | None = None,
        instead: Sequence[str] = (),
        patience: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """How one run ended, and the moments it met: what ``killed_run`` answers."""
        order = {
            "arguments": arguments,
            "environment": environment,
            "kill_at": kill_at,
            "instead": list(instead),
            "patience": dict(patience or {}),
            "output": str(output),
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        ended: dict[str, Any] = json.loads(self.process.stdout.readline())
        return ended


@dataclass(frozen=True)
class Tick:
    """What one run came to, and what a person was told by it."""

    code: int
    said: str
    """On the terminal."""
    mailed: tuple[str, ...]
    """To the operator: subject and text of each letter."""

    @property
    def is_quiet(self) -> bool:
        """Nobody was told anything."""
        return not self.said and not self.mailed

    def tells(self, *words: str) -> bool:
        """Each of ``words`` was said exactly once on the terminal, and mailed."""
        return all(self.said.count(each) == 1 and any(each in letter for letter in self.mailed) for each in words)


@dataclass
class Row(Shop):
    """One order, the services it meets, and what comes of it."""

    program: Program = field(kw_only=True)
    billed_before_micros: int = field(default=0, kw_only=True)
    """What the order had been billed for, in millionths of a dollar, before these services were there."""

    @property
    def output(self) -> Path:
        """All that the program said."""
        return self.home.with_name("output.txt")

    def environment(self) -> dict[str, str]:
        return environment(**self.services.environment() | {"ANTHROPIC_API_KEY": ANTHROPIC_KEY} | self.settings)

    def tick(
        self,
        *arguments: str,
        kill_at: str | None = None,
        instead: Sequence[str] = (),
        patience: Mapping[str, float] | None = None,
    ) -> Tick:
        """One run of the program, as cron would start it; ``kill_at`` and ``patience`` are those of ``killed_run``."""
        self.output.touch()
        said, letters = self.output.stat().st_size, len(self.alerts)
        command = ["--home", str(self.home), *arguments]
        code = self.program.run(command, self.environment(), self.output, kill_at, instead, patience)
        told = (str(letter.message["Subject"]) + "\n" + content_of(letter) for letter in self.alerts[letters:])
        return Tick(code, self.output.read_bytes()[said:].decode(), tuple(told))

    # What came of it

    @property
    def bill(self) -> Counter[str]:
        """What was billed: kind and how often."""
        return Counter(f"{charge.service} {charge.what}" for charge in self.services.bill)

    @property
    def letters(self) -> list[Letter]:
        """The customer's mail."""
        return [letter for letter in self.services.smtp.letters if CUSTOMER in letter.recipients]

    @property
    def alerts(self) -> list[Letter]:
        """The operator's mail."""
        return [letter for letter in self.services.smtp.letters if OPERATOR in letter.recipients]

    def failure(self, stream_id: str = ORDER) -> tuple[str, str]:
        """Kind and reason of a failed order."""
        assert self.where(stream_id) == "failed"
        failure = self.job(stream_id)["failure"]
        return failure["kind"], failure["reason"]

    def waits_for(self, stream_id: str = ORDER) -> str:
        """Why the order was put off: the reason in the log, or what holds it up."""
        job = self.job(stream_id)
        assert job["not_before"] > datetime.now(UTC).isoformat()
        put_off = [entry["reason"] for entry in self.events("job.put_off") if entry["stream"] == stream_id]
        return str(job.get("held_by") or put_off[-1])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        lines = [line for path in self.home.glob("logs/*.log") for line in path.read_bytes().splitlines()]
        return [entry for entry in map(json.loads, lines) if entry["event"] == name]

    def phases(self, call: str, stream_id: str = ORDER) -> list[str]:
        """The lines of the receipts that speak of ``call``, without its notes."""
        lines = [line for line in self.receipts(stream_id) if line["call"] == call]
        return [line["phase"] for line in lines if line["phase"] != "note"]

    def cost(self, call: str, stream_id: str = ORDER) -> list[int]:
        """What the ends of ``call`` are written down with, in millionths of a dollar."""
        return [
            line["cost_micros"] for line in self.receipts(stream_id) if line["call"] == call and "cost_micros" in line
        ]

    def reserved(self, call: str) -> list[int]:
        """What was reserved for each attempt at ``call``, in millionths of a dollar."""
        return [
            line["reserved_micros"] for line in self.receipts() if line["call"] == call and line["phase"] == "intent"
        ]

    # Going on

    @property
    def orders(self) -> list[str]:
        """All orders there are."""
        return sorted(path.stem for path in self.home.glob("jobs/[a-z]*/*.json"))

    def later(self) -> None:
        """So much time has passed that whatever was put off may be taken up again."""
        for stream_id in self.orders:
            self.put_off(stream_id)
        for path in self.home.glob("jobs/.limits/*.json"):
            with self.limits(path.stem) as state:
                state["still_until"] = 0.0

    def finish(
        self,
        *,
        begun: Mapping[str, int] | None = None,
        extra: Mapping[str, int] | None = None,
        deployments: int | None = None,
    ) -> None:
        """Plain runs complete every order: one page, one mail, and a bill with just ``extra`` on it.

        ``begun`` is what was billed before these services were there.
        """
        for _ in range(MOST_ROUNDS):
            for stage in ("process", "review"):
                if any(self.where(each) != "completed" for each in self.orders):
                    self.later()
                    self.tick(stage)
        assert {self.where(each): self.job(each).get("failure") for each in self.orders} == {"completed": None}
        whole = Counter({what: count * len(self.orders) for what, count in WANTED.items()})
        assert self.bill + Counter(begun or {}) == whole + Counter(extra or {})
        assert len({letter.message["Message-ID"] for letter in self.letters}) == len(self.orders)
        assert len(self.services.vercel.deployments) == (deployments or len(self.orders))
        for each in self.orders:
            told = Counter(entry["what"] for entry in self.job(each)["history"])
            assert (told["published"], told["verified"], told["mailed"]) == (1, 1, 1)

    def reach_clips(self, **extra: int) -> None:
        """A plain run brings the order to its first clip, with no more than ``extra`` on the bill.

        From there on it is as any other: the tests of Replicate's faults begin there.
        """
        self.later()
        assert self.tick("process", kill_at=JUDGED) == Tick(-9, "", ())
        assert self.bill == BEFORE_CLIPS + Counter({f"gemini {kind}": count for kind, count in extra.items()})

    @contextmanager
    def limits(self, service: str) -> Iterator[dict[str, Any]]:
        """What the processes know of a service's pace, to be changed."""
        path = self.home / "jobs" / ".limits" / f"{service}.json"
        state = json.loads(path.read_bytes()) if path.exists() else {}
        yield state
        path.write_text(json.dumps(state))

    def hold_is_over(self, service: str) -> None:
        """The time has come until which ``service`` was on hold."""
        with self.limits(service) as state:
            assert state["held_until"] > time.time()
            state["held_until"] = time.time() - 1


def content_of(letter: Letter) -> str:
    """All texts of a letter, decoded."""
    return "\n".join(part.get_content() for part in letter.message.walk() if part.get_content_maintype() == "text")


def new_order(home: Path, program: Program, found: Services, **settings: str) -> Row:
    """An installation in which one paid order waits."""
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    row = Row(home, found, TINY | settings, program=program)
    row.order(ORDER, TALE, title=TITLE)
    return row


@dataclass(frozen=True)
class Begun:
    """An installation whose order has come to some point, to be copied."""

    home: Path
    billed_micros: int
    """What its order was billed for so far, in millionths of a dollar."""


def order_before_clips(home: Path, program: Program) -> Begun:
    """An installation whose order has its keyframes, judged, when the machine goes down."""
    with services() as found:
        row = new_order(home, program, found)
        row.tick("process", kill_at=JUDGED)
        assert row.bill == BEFORE_CLIPS
        return Begun(home, billed_micros(found))


def order_in_review(home: Path, program: Program) -> Begun:
    """An installation whose order waits in ``review``."""
    with services() as found:
        row = new_order(home, program, found)
        assert row.tick("process") == Tick(0, "", ())
        assert row.bill == IN_REVIEW
        return Begun(home, billed_micros(found))


def row_at(
    at: Point, home: Path, program: Program, begun: Mapping[str, Begun], found: Services, **settings: str
) -> Row:
    """An installation whose one paid order has come to ``at``."""
    if at == "pending":
        return new_order(home, program, found, **settings)
    shutil.copytree(begun[at].home, home, symlinks=True)
    return Row(home, found, TINY | settings, program=program, billed_before_micros=begun[at].billed_micros)


def claude_answers() -> list[dict[str, Any]]:
    """What the ``claude`` command is to answer: the story may be produced, and its plan."""
    story = Story.model_validate({"id": ORDER, "title": TITLE, "language": "en", "text": TALE})
    planned = plan(plan_task(PlanRequest(story)).material)
    return [
        {"when": SCREEN, "structured_output": {"findings": [], "read_to_the_end_paragraph": 7}},
        {"when": PLAN, "structured_output": planned},
    ]


# --- what must hold after every run ------------------------------------------------------------------------------


def leaks(row: Row) -> list[str]:
    """Where secrets are seen, and where the customer's words and address are where they do not belong."""
    found = [f"{path.relative_to(row.home)}: {word}" for path in _files(row.home) for word in _seen(path, SECRETS)]
    logs = [*_files(row.home / "logs"), row.output] if row.output.exists() else _files(row.home / "logs")
    found += [f"{path.name}: {word}" for path in logs for word in _seen(path, (*SECRETS, *PRIVATE))]
    pages = [path for page in row.home.glob("streams/*/page") for path in _files(page)]
    found += [f"{path.relative_to(row.home)}: {CUSTOMER}" for path in pages if _seen(path, (CUSTOMER,))]
    for letter in row.alerts:
        whole = letter.raw.decode("utf-8", "replace") + content_of(letter) + str(letter.message["Subject"])
        found += [f"alert: {word}" for word in seen_in(whole, (*SECRETS, *PRIVATE))]
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _seen(path: Path, words: tuple[str, ...]) -> list[str]:
    return seen_in(path.read_bytes().decode("utf-8", "replace"), words)


def seen_in(text: str, words: Sequence[str]) -> list[str]:
    """Those of ``words`` that stand in ``text``, in capitals or not, plain or as in JSON."""
    small = text.lower()
    return [word for word in words if word.lower() in small or json.dumps(word)[1:-1].lower() in small]


def told_too_much(row: Row) -> list[str]:
    """What a service was told that is another's secret, or who the customer is."""
    own = {"gemini": "x-goog-api-key", "replicate": "authorization", "vercel": "authorization"}
    found = [*row.services.replicate.delivery_authorizations, *row.services.vercel.visit_authorizations]
    for service in (row.services.gemini, row.services.replicate, row.services.vercel):
        for call in service.calls:
            headers = [value for name, value in call.request.headers.items() if name != own[service.name]]
            body = call.request.body.decode("utf-8", "replace")
            whole = " ".join([call.request.path, call.request.query, *headers, body])
            found += [f"{call.operation}: {word}" for word in seen_in(whole, (*SECRETS, CUSTOMER))]
    return found


def wrong_books(row: Row) -> list[str]:
    """Where ledger, receipts and the services' bills contradict each other; what is open counts as spent."""
    wrong = []
    ledger = {(line["stream"], line["call"], line["inputs"], line["attempt"]): line for line in row.ledger()}
    streams = [folder.name for folder in (row.home / "streams").iterdir()]
    for stream_id in streams:
        attempts = {(stream_id, *key): spent(lines) for key, lines in attempts_of(row, stream_id).items()}
        booked = {key: line["micros"] for key, line in ledger.items() if key[0] == stream_id}
        paid = {key: cost for key, cost in attempts.items() if cost or key in booked}
        if booked != paid:
            wrong.append(f"{stream_id}: the ledger has {booked}, the receipts {paid}")
    return wrong + wrong_bill(row, streams, row.billed_before_micros + billed_micros(row.services))


def wrong_bill(shop: Shop, streams: Sequence[str], billed: int) -> list[str]:
    """Where the receipts of ``streams`` and what the services have ``billed`` contradict each other.

    Whatever had an outcome, or ended with the service's own figure, was billed just as the receipts say. What was
    lost, is open, or came to nothing at a cost that is assumed, may have been.
    """
    attempts = [lines for each in streams for lines in attempts_of(shop, each).values() if is_billed_by_fakes(lines)]
    most = sum(map(spent, attempts))
    least = sum(spent(lines) for lines in attempts if lines[-1]["phase"] == "outcome" or lines[-1].get("exact"))
    return [] if least <= billed <= most else [f"{billed} were billed, and the books know of {least} to {most}"]


def attempts_of(shop: Shop, stream_id: str) -> dict[tuple[str, str, int], list[dict[str, Any]]]:
    """The lines of each attempt in a stream's receipts, notes left out: its intent, and its end if it has one."""
    attempts: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for line in shop.receipts(stream_id):
        if line["phase"] != "note":
            attempts.setdefault((line["call"], line["inputs"], line["attempt"]), []).append(line)
    return attempts


def spent(attempt: Sequence[Mapping[str, Any]]) -> int:
    """What an attempt cost, in millionths of a dollar; what it may cost while its end is not written down."""
    return int(attempt[-1]["reserved_micros" if attempt[-1]["phase"] == "intent" else "cost_micros"])


def is_billed_by_fakes(attempt: Sequence[Mapping[str, Any]]) -> bool:
    """The ``claude`` command sends no bill: what it cost is known from its answers only."""
    return attempt[0]["provider"] != "claude"


def billed_micros(found: Services) -> int:
    """All that the services have billed, in millionths of a dollar."""
    return sum(charge.micro_dollars for charge in found.bill)
