"""judge: an opinion on what was made, from somebody who did not make it, beside what the hard checks measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from downstream.domain.checks import Check
from downstream.domain.ports import Exhibit, JudgeRequest, Subject
from downstream.files import private_folder
from downstream.receipts import digest
from downstream.steps.calls import make_call
from downstream.steps.sheet import THUMBNAIL, write_contact_sheet
from downstream.steps.work import Made

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from downstream.domain.ports import Call
    from downstream.domain.production import Production
    from downstream.steps.work import Work


def judge_keyframes(work: Work, production: Production, keyframes: Mapping[str, Path]) -> tuple[Check, ...]:
    """What the judge says of the stills, before any clip is bought; nothing where there is no judge."""
    if work.providers.judge is None:
        return ()
    sheet = private_folder(work.workspace.review) / "keyframes.jpg"
    write_contact_sheet(sheet, [(name, [_thumbnail(path)]) for name, path in keyframes.items()])
    exhibits = [Exhibit(name, (path,)) for name, path in keyframes.items()]
    return judge(work, production, Subject.KEYFRAMES, exhibits, sheet)


def judge(
    work: Work, production: Production, subject: Subject, exhibits: list[Exhibit], sheet: Path
) -> tuple[Check, ...]:
    """What the judge says of the exhibits; nothing where there is no judge, or where a person wants just these."""
    critic = work.providers.judge
    if critic is None:
        return ()
    request = JudgeRequest(subject, production, tuple(exhibits), sheet)

    def make(call: Call) -> Made:
        checks = critic.judge(request, call)
        return Made(result={"rubric": critic.rubric, "checks": [check.model_dump(mode="json") for check in checks]})

    inputs = (critic.rubric, production, exhibits)  # the sheet only repeats them
    name, price = f"judge/{subject.value}", critic.price_micros(request)
    if digest(name, work.providers.origin, inputs) in work.job.overruled:
        return ()
    receipt = make_call(work, name, inputs, critic.name, make, price_micros=price)
    checks = receipt.result["checks"]
    return tuple(Check.model_validate(one) for one in checks) if isinstance(checks, list) else ()


def _thumbnail(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize(THUMBNAIL)
