"""Quality: what can be measured is measured before anybody has an opinion; then the judge is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from downstream.domain.checks import Check, Facts, Inspection
from downstream.domain.job import What
from downstream.domain.ports import Exhibit, Subject
from downstream.domain.troubles import is_no_fault_of_a_film
from downstream.files import private_folder, tree_files, tree_sha256, write_durably
from downstream.site.marks import TRAINED_ALGORITHMIC_MEDIA, read_mark
from downstream.site.read import page_weight, read_text, referenced_files
from downstream.steps.judge import judge
from downstream.steps.plan import read_production
from downstream.steps.sheet import THUMBNAIL, write_contact_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from downstream.domain.story import Story
    from downstream.settings import Settings
    from downstream.steps.work import Work

_SMALL = (160, 90)
"""Pixels a frame is reduced to before it is measured."""
_BLACK_LEVEL = 10.0
"""Brightest pixel block (0-255) of a frame that counts as black."""
_BLANK_SPREAD = 1.5
"""Standard deviation of brightness below which a frame shows nothing."""
_STILL_STEP = 0.02
"""Mean brightness change from one frame to the next below which nothing moved."""
_UNLIKE_KEYFRAME = 14.0
"""Mean brightness difference between a clip's first frame and its keyframe that no encoder explains."""
SAMPLES = 5
"""Frames of each clip that the judge is shown."""
_SAMPLE_WIDTH = 640
_IMAGE_SUFFIXES = {".webp", ".jpg", ".jpeg", ".png"}
BEFORE_SCROLLING_BYTES = 1_300_000
"""What a page may load before the reader scrolls."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A clip that was decoded to its end."""

    frames: int
    size: tuple[int, int]
    seconds: float
    small: NDArray[np.int16]
    """Every frame in grey at ``_SMALL``, (frames, height, width)."""
    samples: list[Image.Image]
    """``SAMPLES`` frames, evenly from the first to the last, ``_SAMPLE_WIDTH`` pixels wide."""


def inspect(work: Work, story: Story, now: datetime, *, with_judge: bool = True) -> Inspection:
    """The inspection of the page as it lies there now; the contact sheet lies beside it.

    The judge is asked when all measurements are good. An inspection of the very same page is used again; what it found
    wrong only as long as the order has not been sent round.
    """
    digest = tree_sha256(work.workspace.page)
    path = work.workspace.review / "inspection.json"
    if path.exists():
        earlier = Inspection.model_validate_json(path.read_bytes())
        if earlier.page_sha256 == digest and (earlier.passed or earlier.at >= _came_to_review(work)):
            return earlier
    private_folder(work.workspace.review)
    production = read_production(work.workspace)
    seen = work.each("checks", [segment.id for segment in production.segments], lambda one: _check_clip(work, one))
    checks = [check for found, _ in seen for check in found]
    checks += _check_page(work.workspace.page, story, work.settings, len(production.segments))
    shown = [samples for _, samples in seen]
    sheet = work.workspace.review / "contact-sheet.jpg"
    write_contact_sheet(sheet, [(name, [one.resize(THUMBNAIL) for one in samples[::2]]) for name, samples in shown])
    if with_judge and all(check.passed for check in checks):
        checks += judge(work, production, Subject.CLIPS, _exhibits(work, shown), sheet)
    inspection = Inspection(page_sha256=digest, at=now, checks=tuple(checks))
    if with_judge:
        write_durably(path, inspection.to_json())
    return inspection


def _came_to_review(work: Work) -> datetime:
    """When the order was last moved."""
    return max(
        (entry.at for entry in work.job.history if entry.what is What.MOVED), default=datetime.min.replace(tzinfo=UTC)
    )


def _exhibits(work: Work, shown: list[tuple[str, list[Image.Image]]]) -> list[Exhibit]:
    """The sampled frames as files, for the judge."""
    if work.providers.judge is None:
        return []
    folder = private_folder(work.workspace.review / "samples")
    exhibits = []
    for segment_id, samples in shown:
        paths = tuple(folder / f"{segment_id}-{number}.jpg" for number in range(1, len(samples) + 1))
        for path, sample in zip(paths, samples, strict=True):
            sample.save(path, "JPEG", quality=85)
        exhibits.append(Exhibit(segment_id, paths))
    return exhibits


# --- clips -----------------------------------------------------------------------------------------------------


def _check_clip(work: Work, segment_id: str) -> tuple[list[Check], tuple[str, list[Image.Image]]]:
    work.check_running()
    try:
        seen = _watch(work.workspace.clip(segment_id))
    except (OSError, av.FFmpegError, ValueError) as error:
        if is_no_fault_of_a_film(error):
            raise  # or the clip would be bought again
        detail = f"does not decode to its last frame ({type(error).__name__})"
        return [Check(name="clip.decodes", passed=False, segment_id=segment_id, detail=detail)], (segment_id, [])
    keyframe = next(iter(sorted(work.workspace.keyframes.glob(f"{segment_id}.*"))), None)
    checks = [
        Check(name="clip.decodes", passed=True, segment_id=segment_id, figures={"frames": seen.frames}),
        _check_shape(seen, work.settings, segment_id, exact=work.providers.clips.exact),
        _check_picture(seen, segment_id),
        _check_movement(seen, segment_id),
        _check_beginning(seen, keyframe, segment_id),
        *_check_encodings(work.workspace.frames(segment_id), seen.frames),
    ]
    return checks, (segment_id, seen.samples)


def _watch(path: Path) -> _Seen:
    small, samples = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        expected = stream.frames
        sampled = {round(number * (expected - 1) / (SAMPLES - 1)) for number in range(SAMPLES)}
        for index, frame in enumerate(container.decode(stream)):
            small.append(frame.reformat(*_SMALL, format="gray").to_ndarray().astype(np.int16))
            if index in sampled:
                height = round(frame.height * _SAMPLE_WIDTH / frame.width)
                samples.append(Image.fromarray(frame.reformat(_SAMPLE_WIDTH, height, format="rgb24").to_ndarray()))
            last = frame
        if not small:
            raise ValueError("no frame")
        if len(small) < expected:
            raise ValueError("cut off")
        rate = stream.average_rate or stream.base_rate
        seconds = len(small) / float(rate) if rate else 0.0
        return _Seen(len(small), (last.width, last.height), seconds, np.stack(small), samples)


def _check_shape(seen: _Seen, settings: Settings, segment_id: str, *, exact: bool) -> Check:
    """An outside service has sizes and lengths of its own: its clips must have the shape, and be no less than asked."""
    wanted = (settings.clip_width, settings.clip_height)
    frames = round(settings.clip_seconds * settings.clip_frames_per_second)
    wrong = []
    if not (seen.size == wanted if exact else _is_like(seen.size, wanted)):
        wrong.append(f"{seen.size[0]}x{seen.size[1]} pixels instead of {wanted[0]}x{wanted[1]}")
    if exact and seen.frames != frames:
        wrong.append(f"{seen.frames} frames instead of {frames}")
    off = seen.seconds - settings.clip_seconds
    if (abs(off) > 0.05 * settings.clip_seconds) if exact else (off < -0.1 * settings.clip_seconds):
        wrong.append(f"{seen.seconds:.2f} s instead of {settings.clip_seconds:g} s")
    figures: Facts = {"width": seen.size[0], "height": seen.size[1], "seconds": round(seen.seconds, 3)}
    return Check(name="clip.shape", passed=not wrong, segment_id=segment_id, detail=", ".join(wrong), figures=figures)


def _is_like(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """The same shape within three percent, and not smaller."""
    ratio = wanted[0] / wanted[1]
    return abs(size[0] / size[1] - ratio) <= 0.03 * ratio and size[0] >= wanted[0] and size[1] >= wanted[1]


def _check_picture(seen: _Seen, segment_id: str) -> Check:
    brightest = seen.small.max(axis=(1, 2))
    spread = seen.small.std(axis=(1, 2))
    black = np.flatnonzero(brightest < _BLACK_LEVEL)
    blank = np.flatnonzero(spread < _BLANK_SPREAD)
    detail = f"frame {black[0]} is black" if black.size else f"frame {blank[0]} shows nothing" if blank.size else ""
    figures: Facts = {"darkest_frame_peak": int(brightest.min()), "least_spread": round(float(spread.min()), 2)}
    return Check(name="clip.picture", passed=not detail, segment_id=segment_id, detail=detail, figures=figures)


def _check_movement(seen: _Seen, segment_id: str) -> Check:
    steps = np.abs(np.diff(seen.small, axis=0)).mean(axis=(1, 2))
    still = float((steps < _STILL_STEP).mean()) if steps.size else 1.0
    # A reduced picture hides the smallest movements in rounding: what counts is whether it ever gets anywhere.
    away = float(np.abs(seen.small - seen.small[0]).mean(axis=(1, 2)).max())
    frozen = (still > 0.5 and away < 0.25) or still > 0.9
    detail = f"it stands still in {still:.0%} of its frames" if frozen else ""
    figures: Facts = {"still_share": round(still, 3), "farthest": round(away, 2)}
    return Check(name="clip.movement", passed=not frozen, segment_id=segment_id, detail=detail, figures=figures)


def _check_beginning(seen: _Seen, keyframe: Path | None, segment_id: str) -> Check:
    if keyframe is None:
        return Check(name="clip.beginning", passed=False, segment_id=segment_id, detail="its keyframe is missing")
    with Image.open(keyframe) as image:
        picture = np.asarray(image.convert("L").resize(_SMALL, Image.Resampling.BOX), dtype=np.int16)
    difference = float(np.abs(picture - seen.small[0]).mean())
    detail = (
        f"its first frame is not its keyframe (difference {difference:.1f})" if difference > _UNLIKE_KEYFRAME else ""
    )
    figures: Facts = {"difference": round(difference, 2)}
    return Check(name="clip.beginning", passed=not detail, segment_id=segment_id, detail=detail, figures=figures)


def _check_encodings(folder: Path, frames: int) -> list[Check]:
    """The clip as the page plays it; a fault here is ours, so it names no segment to make again."""
    checks = []
    for path in sorted(folder.glob("*.mp4")):
        name = f"{folder.name}/{path.name}"
        try:
            with av.open(str(path)) as container:
                decoded = sum(1 for _ in container.decode(video=0))
            detail = "" if decoded == frames else f"{name} has {decoded} frames of {frames}"
        except (OSError, av.FFmpegError, ValueError) as error:
            if is_no_fault_of_a_film(error):
                raise
            detail = f"{name} does not decode ({type(error).__name__})"
        checks.append(Check(name="frames.decode", passed=not detail, detail=detail))
    if not checks:
        checks.append(Check(name="frames.decode", passed=False, detail=f"{folder.name} has no video"))
    return checks


# --- page ------------------------------------------------------------------------------------------------------


def _check_page(folder: Path, story: Story, settings: Settings, segments: int) -> list[Check]:
    if not (folder / "index.html").is_file():
        return [Check(name="page.files", passed=False, detail="index.html is missing")]
    whole = _check_files(folder)
    checks = [_check_text((folder / "index.html").read_bytes(), story), whole, _check_marks(folder)]
    return [*checks, _check_weight(folder, settings, segments)] if whole.passed else checks


def _check_text(html: bytes, story: Story) -> Check:
    shown = read_text(html)
    if shown == story.text:
        return Check(name="page.text", passed=True, figures={"characters": len(shown)})
    same = next(
        (i for i, (a, b) in enumerate(zip(shown, story.text, strict=False)) if a != b), min(len(shown), len(story.text))
    )
    detail = f"the page's text leaves the customer's at character {same} of {len(story.text)}"
    return Check(name="page.text", passed=False, detail=detail)


def _check_files(folder: Path) -> Check:
    named = referenced_files(folder)
    missing = [name for name in named if not (folder / name).is_file() or not (folder / name).stat().st_size]
    detail = f"missing or empty: {', '.join(missing[:5])}" if missing else "" if named else "the page names no file"
    return Check(name="page.files", passed=not detail, detail=detail, figures={"files": len(named)})


def _check_marks(folder: Path) -> Check:
    images = [path for path in tree_files(folder) if path.suffix in _IMAGE_SUFFIXES]
    unmarked = [path.name for path in images if read_mark(path.read_bytes()) != TRAINED_ALGORITHMIC_MEDIA]
    detail = f"not marked as AI-made: {', '.join(unmarked[:5])}" if unmarked else "" if images else "no image"
    return Check(name="page.marks", passed=not detail, detail=detail, figures={"images": len(images)})


def _check_weight(folder: Path, settings: Settings, segments: int) -> Check:
    weight = page_weight(folder)
    budget = settings.page_bytes_per_segment * segments
    wrong = []
    if weight.whole_bytes > budget:
        wrong.append(f"a reader loads {weight.whole_bytes:,} bytes, the budget is {budget:,}")
    if weight.before_scrolling_bytes > BEFORE_SCROLLING_BYTES:
        wrong.append(f"{weight.before_scrolling_bytes:,} bytes before scrolling, at most {BEFORE_SCROLLING_BYTES:,}")
    figures: Facts = {"whole_bytes": weight.whole_bytes, "before_scrolling_bytes": weight.before_scrolling_bytes}
    return Check(name="page.weight", passed=not wrong, detail="; ".join(wrong), figures=figures)
