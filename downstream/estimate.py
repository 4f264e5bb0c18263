"""``downstream estimate``: what an order will cost, before it does.

The providers themselves say what each call costs at most, in the words they reserve money by. Asking for a price sends
nothing, so it needs no keys.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from downstream.domain.errors import Misconfigured
from downstream.domain.job import Job
from downstream.domain.planning import MOST_PROMPT_CHARACTERS
from downstream.domain.ports import Exhibit, JudgeRequest, PlanRequest, ScreenRequest, Subject
from downstream.domain.prices import MICROS_PER_CENT, show_dollars
from downstream.domain.production import (
    CastMember,
    MotionType,
    Production,
    ProductionInput,
    Section,
    Segment,
    Stream,
    VisualDirection,
    segment_count_range,
)
from downstream.overview import find_job, recorded
from downstream.prices import read_prices
from downstream.queue import NoSuchJob
from downstream.receipts import Attempt, Phase
from downstream.settings import Secret, Settings
from downstream.steps.clips import clip_request
from downstream.steps.keyframes import CAST, keyframe_requests
from downstream.steps.plan import read_production
from downstream.steps.quality import SAMPLES
from downstream.steps.story import read_story
from downstream.steps.work import Budget, Work
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from downstream.domain.ports import KeyframeRequest, Providers
    from downstream.domain.story import Story
    from downstream.receipts import Receipts
    from downstream.stages.context import Context
    from downstream.steps.work import Pools

_PICTURE = Path("picture.png")
"""Stands for a picture that is not made yet; only how many there are matters."""
_PROMPT = "x" * MOST_PROMPT_CHARACTERS
"""Stands for a prompt that is not written yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """All calls of one kind; amounts in millionths of a dollar. The first of two is for the shortest plan."""

    call: str
    count: tuple[int, int]
    each_micros: int
    """The most that the dearest of them should cost."""
    sum_micros: tuple[int, int]
    made: int
    """How many of them are made already."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one order costs at most; amounts in millionths of a dollar. The first of two is for the shortest plan."""

    stream_id: str
    words: int
    segments: tuple[int, int]
    prices_as_of: str
    lines: tuple[Line, ...]
    """Empty for an order that the embedded providers serve."""
    sum_micros: tuple[int, int]
    spent_micros: int
    to_come_micros: tuple[int, int]
    worst_micros: int
    """With every regeneration that the settings allow."""
    cap_micros: int
    too_dear: tuple[str, ...]
    """The calls that the cap for a call forbids."""
    is_order: bool
    """False for a story that no order lies in ``jobs`` for."""

    @property
    def is_free(self) -> bool:
        """The embedded providers serve it."""
        return not self.lines

    @property
    def fits(self) -> bool:
        """Without regenerations it stays below the caps for a job and for a call."""
        return self.spent_micros + self.to_come_micros[1] <= self.cap_micros and not self.too_dear

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "is_free": self.is_free, "fits": self.fits}


def priceable(settings: Settings) -> Settings:
    """The same settings with something in the place of each key that is missing."""
    anything = Secret("not-set")
    return replace(
        settings,
        google_ai_api_key=settings.google_ai_api_key or anything,
        replicate_api_token=settings.replicate_api_token or anything,
        vercel_token=settings.vercel_token or anything,
        smtp_url=settings.smtp_url or Secret("smtp://localhost"),
    )


def estimate(context: Context, stream_id: str) -> Estimate:
    """What the order (or, where there is none of that name, the story in ``streams/``) will cost at most.

    Raises:
        NoSuchJob: there is neither; Unreadable, StillWritten: as ``Queue.read``.
        PersonDecides: its story or plan cannot be taken, so nothing can be made of it.
        Misconfigured: the price table lacks something.
    """
    job = _job(context, stream_id)
    if not job.needs_live:
        return _free(context, stream_id)
    story = read_story(context.home, job)
    workspace = Workspace(context.home, stream_id)
    plans = _plans(workspace, story)
    with recorded(workspace) as receipts, context.pools() as pools:
        work = _work(context, job, workspace, receipts, pools)
        few, many = (_priced(work, story, plan) for plan in plans)
        wanted = _wanted(work)
        return Estimate(
            stream_id=stream_id,
            words=story.words,
            segments=(len(plans[0].segments), len(plans[1].segments)),
            prices_as_of=str(read_prices(context.home).as_of),
            lines=tuple(_lines(few, many, wanted)),
            sum_micros=(sum(few.values()), sum(many.values())),
            spent_micros=receipts.spent_micros,
            to_come_micros=(_sum_of(few, wanted), _sum_of(many, wanted)),
            worst_micros=_worst_micros(many, context.settings),
            cap_micros=work.budget.most_micros,
            too_dear=_too_dear(many, context.settings),
            is_order=context.queue.find(stream_id) is not None,
        )


def _job(context: Context, stream_id: str) -> Job:
    """The order; one that asks for the outside services where there is only a story."""
    if context.queue.find(stream_id) is not None:
        return find_job(context.queue, stream_id)[1]
    try:
        job = Job(stream_id=stream_id, customer_email="nobody@example.com", live=True)
    except ValidationError:
        raise NoSuchJob(stream_id) from None
    if not (context.home / "streams" / stream_id / "input.json").exists():
        raise NoSuchJob(stream_id)
    return job


def _free(context: Context, stream_id: str) -> Estimate:
    """The estimate of an order that the embedded providers serve."""
    as_of, none = str(read_prices(context.home).as_of), (0, 0)
    return Estimate(stream_id, 0, none, as_of, (), none, 0, none, 0, 0, (), is_order=True)


def _work(context: Context, job: Job, workspace: Workspace, receipts: Receipts, pools: Pools) -> Work:
    """The order as the steps see it, for asking them what they would ask for."""
    live = context.suppliers.live
    if live is None:
        raise Misconfigured("no keys for outside services are set")
    return Work(
        job=job,
        workspace=workspace,
        receipts=receipts,
        providers=live(),
        settings=context.settings,
        log=context.log,
        progress=context.progress,
        pools=pools,
        budget=Budget(context.ledger, context.most_micros(job)),
        check_running=context.check_running,
        wait=context.wait,
    )


# --- what is asked for ---------------------------------------------------------------------------------------------


def _plans(workspace: Workspace, story: Story) -> tuple[Production, Production]:
    """The plan of this story, twice; where there is none yet, stand-ins for the shortest and the longest."""
    if workspace.production.exists():
        production = read_production(workspace)
        if production.input.original_text == story.text:
            return production, production
    fewest, most = segment_count_range(story.words)
    return _stand_in(story, fewest), _stand_in(story, most)


def _stand_in(story: Story, count: int) -> Production:
    """A plan as long as a real one of that many segments."""
    ids = tuple(f"{number:02}" for number in range(1, count + 1))
    return Production(
        stream=Stream(id=story.id, title=story.title),
        input=ProductionInput(language=story.language, original_text=story.text),
        visual_direction=VisualDirection(
            aesthetic=_PROMPT[:600],
            palette=("#000000",) * 8,
            cast=tuple(CastMember(name=_PROMPT[:20], look=_PROMPT[:300]) for _ in range(6)),
        ),
        segments=tuple(
            Segment(
                id=one,
                title="x",
                narrative=_PROMPT[:500],
                image_prompt=_PROMPT,
                negative_prompt=_PROMPT[:300],
                motion_prompt=_PROMPT[:500],
                motion_type=MotionType.DRIFT,
                intensity=0.5,
            )
            for one in ids
        ),
        sections=(Section(id="01", title="x", segment_ids=ids, text=story.text),),
    )


def _priced(work: Work, story: Story, plan: Production) -> dict[str, int]:
    """Every call that the order makes when nothing has to be made again, with the most that it should cost."""
    providers, priced = work.providers, dict[str, int]()
    if providers.editor is not None and not work.job.cleared:
        priced["screen"] = providers.editor.price_micros(ScreenRequest(story))
    priced["plan"] = providers.director.price_micros(PlanRequest(story, take=work.job.take("plan")))
    for request in keyframe_requests(work, plan):
        priced[f"keyframes/{request.segment_id}"] = providers.keyframes.price_micros(_with_pictures(request))
    priced["judge/keyframes"] = _judging(providers, plan, Subject.KEYFRAMES, 1)
    for segment in plan.segments:
        priced[f"clips/{segment.id}"] = providers.clips.price_micros(clip_request(work, segment, _PICTURE))
    priced["judge/clips"] = _judging(providers, plan, Subject.CLIPS, SAMPLES)
    return priced


def _with_pictures(request: KeyframeRequest) -> KeyframeRequest:
    """The request with the pictures that are shown along with it, at most."""
    return request if request.segment_id == CAST else replace(request, cast_sheet=_PICTURE, previous=_PICTURE)


def _judging(providers: Providers, plan: Production, subject: Subject, pictures: int) -> int:
    if providers.judge is None:
        return 0
    exhibits = tuple(Exhibit(segment.id, (_PICTURE,) * pictures) for segment in plan.segments)
    return providers.judge.price_micros(JudgeRequest(subject, plan, exhibits, _PICTURE))


# --- sums ------------------------------------------------------------------------------------------------------------


def _wanted(work: Work) -> Callable[[str], bool]:
    """Tells of a call whether it is still to be made, as far as the receipts know."""
    made = Counter(call for call, _ in {(one.call, one.inputs) for one in work.receipts.attempts if _came(one)})
    pictures = [call for call in made if call.startswith(("keyframes/", "clips/"))]

    def wanted(call: str) -> bool:
        step, _, segment_id = call.partition("/")
        if step == "judge":
            # What was judged is judged again when any of it is made again.
            return not made[call] or any(wanted(one) for one in pictures if one.startswith(("keyframes", segment_id)))
        takes = work.job.take(step, segment_id)
        if step == "clips":
            takes += work.job.take("keyframes", segment_id) - 1
        return made[call] < takes

    return wanted


def _came(attempt: Attempt) -> bool:
    return attempt.phase is Phase.OUTCOME


def _lines(few: Mapping[str, int], many: Mapping[str, int], wanted: Callable[[str], bool]) -> Iterator[Line]:
    """One line for each kind of call."""
    for kind in dict.fromkeys(map(_kind, many)):
        low, high = ([price for call, price in priced.items() if _kind(call) == kind] for priced in (few, many))
        made = sum(1 for call in many if _kind(call) == kind and not wanted(call))
        yield Line(kind, (len(low), len(high)), max(high), (sum(low), sum(high)), made)


def _kind(call: str) -> str:
    """``keyframes`` for ``keyframes/03``; the cast's sheet and the judge's two looks are kinds of their own."""
    step, _, piece = call.partition("/")
    return step if piece.isdigit() else call


def _sum_of(priced: Mapping[str, int], wanted: Callable[[str], bool]) -> int:
    return sum(price for call, price in priced.items() if wanted(call))


def _worst_micros(priced: Mapping[str, int], settings: Settings) -> int:
    """Every segment made again, keyframe and clip, as often as the settings allow, and judged each time."""
    order = settings.regenerations_per_order
    segment = min(settings.regenerations_per_segment, order)
    again = sum(price for call, price in priced.items() if call.partition("/")[2].isdigit())
    judged = sum(price for call, price in priced.items() if call.startswith("judge/"))
    return sum(priced.values()) + segment * again + order * judged


def _too_dear(priced: Mapping[str, int], settings: Settings) -> tuple[str, ...]:
    cap = settings.cap_per_call_cents * MICROS_PER_CENT
    return tuple(dict.fromkeys(_kind(call) for call, price in priced.items() if price > cap))


# --- in words --------------------------------------------------------------------------------------------------------


def tell(found: Estimate) -> Iterator[str]:
    """The estimate, line by line."""
    if found.is_free:
        yield f"{found.stream_id} costs nothing: nobody paid for it, so the embedded providers make it"
        return
    planned = "as planned" if found.segments[0] == found.segments[1] else "not planned yet"
    yield f"{found.stream_id}: {found.words} words, {_span(found.segments)} segments ({planned})"
    if not found.is_order:
        yield "No order lies in jobs/: taken as one that nobody paid for and that says live."
    yield f"By the prices of {found.prices_as_of}, at most; most calls turn out cheaper."
    yield ""
    yield f"{'call':<16}  {'count':>5}  {'each':>9}  {'in all':>17}  {'made':>4}"
    for line in found.lines:
        count, dollars = _span(line.count), _dollars(line.sum_micros)
        yield f"{line.call:<16}  {count:>5}  {_up(line.each_micros):>9}  {dollars:>17}  {line.made:>4}"
    yield f"{'together':<16}  {'':>5}  {'':>9}  {_dollars(found.sum_micros):>17}"
    yield ""
    yield f"spent so far      {show_dollars(found.spent_micros)}"
    yield f"still to come     {_dollars(found.to_come_micros)}"
    yield f"with every regeneration that the settings allow: {_up(found.worst_micros)} in all"
    yield f"cap of this order {show_dollars(found.cap_micros)}: {_fit(found)}"


def _fit(found: Estimate) -> str:
    if found.too_dear:
        return f"{', '.join(found.too_dear)} cost more than CAP_PER_CALL_CENTS allows for one call"
    if not found.fits:
        return "it does not fit; the order would wait when the cap is reached (CAP_PER_JOB_PERCENT)"
    return "it fits" if found.worst_micros <= found.cap_micros else "it fits, but not with every regeneration"


def _span(count: tuple[int, int]) -> str:
    return str(count[0]) if count[0] == count[1] else f"{count[0]}-{count[1]}"


def _dollars(micros: tuple[int, int]) -> str:
    low, high = map(_up, micros)
    return low if low == high else f"{low}-{high}"


def _up(micros: int) -> str:
    """An amount that is only an estimate: to a tenth of a cent, rounded up."""
    return show_dollars(-(-micros // 1000) * 1000)
