"""The clips the embedded clips film."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from model_tools import Books
from PIL import Image

from downstream.domain.errors import PersonDecides
from downstream.domain.ports import ClipRequest, KeyframeRequest
from downstream.domain.production import MotionType
from downstream.providers.embedded.clips import EmbeddedClips
from downstream.providers.embedded.film import View
from downstream.providers.embedded.keyframes import EmbeddedKeyframes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Frames = NDArray[np.int16]

PALETTE = ("#0b1d2a", "#1f4e5f", "#79a8a9", "#d9e4dd", "#f4f7f7")


@pytest.fixture
def keyframe(tmp_path: Path) -> Path:
    return drawn(tmp_path, "A house in the mountains, in daylight, under a clear sky.")


def drawn(folder: Path, prompt: str) -> Path:
    path = folder / "keyframe-01.png"
    request = KeyframeRequest("a-story", "01", prompt, "", PALETTE, 320, 180)
    path.write_bytes(EmbeddedKeyframes().make(request, Books()).data)
    return path


def asked(keyframe: Path, motion_type: MotionType = MotionType.PUSH_IN, intensity: float = 0.85) -> ClipRequest:
    return ClipRequest("a-story", "01", keyframe, "slowly", motion_type, intensity, 2.0, 12, 320, 180)


def filmed(request: ClipRequest) -> Frames:
    """Every frame of the clip in grey, decoded from the file to its end."""
    path = request.keyframe.with_suffix(".mp4")
    EmbeddedClips().make(request, path, Books())
    return decoded(path)


def decoded(path: Path) -> Frames:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.int16)


def apart(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    return float(np.abs(one - other).mean())


def magnified(frame: NDArray[np.int16], zoom: float) -> NDArray[np.int16]:
    """The frame seen from nearer (or, below 1, from farther away: its edges are then repeated)."""
    height, width = frame.shape
    rows, columns = (
        np.clip(np.rint((np.arange(size) - size * middle) / zoom + size * middle), 0, size - 1).astype(int)
        for size, middle in ((height, 0.6), (width, 0.5))
    )
    seen: NDArray[np.int16] = frame[rows][:, columns]
    return seen


def shift(first: NDArray[np.int16], last: NDArray[np.int16]) -> int:
    """By how many pixels the picture moved to the right."""

    def difference(pixels: int) -> float:
        width = first.shape[1] - 48
        return apart(first[:, 24 : 24 + width], last[:, 24 + pixels : 24 + pixels + width])

    return min(range(-24, 25), key=difference)


def test_a_clip_is_h264_of_the_size_rate_and_length_asked_for(keyframe: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    EmbeddedClips().make(
        replace(asked(keyframe), seconds=1.3, frames_per_second=10, width=128, height=72), path, Books()
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        seen = (stream.codec_context.name, stream.pix_fmt, stream.width, stream.height, stream.average_rate)
        times = [frame.time for frame in container.decode(video=0)]
    assert seen == ("h264", "yuv420p", 128, 72, 10)
    assert times == pytest.approx([number / 10 for number in range(13)])


def test_a_clip_can_be_played_before_all_of_it_has_arrived(keyframe: Path) -> None:
    filmed(asked(keyframe))
    data = keyframe.with_suffix(".mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_file_says_which_colours_it_means(keyframe: Path) -> None:
    filmed(asked(keyframe))
    with av.open(str(keyframe.with_suffix(".mp4"))) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("motion_type", MotionType)
def test_a_clip_begins_as_its_keyframe(keyframe: Path, motion_type: MotionType) -> None:
    first = filmed(replace(asked(keyframe, motion_type), seconds=0.5))[0]
    assert apart(first, np.asarray(Image.open(keyframe).convert("L"), np.int16)) < 3


def test_a_clip_of_another_size_begins_as_its_keyframe_too(keyframe: Path) -> None:
    first = filmed(replace(asked(keyframe), seconds=0.2, width=160, height=90))[0]
    small = Image.open(keyframe).convert("L").resize((160, 90), Image.Resampling.BOX)
    assert apart(first, np.asarray(small, np.int16)) < 5


@pytest.mark.parametrize("motion_type", MotionType)
def test_a_nearly_still_clip_is_never_frozen_nor_black(keyframe: Path, motion_type: MotionType) -> None:
    frames = filmed(asked(keyframe, motion_type, 0.1))
    assert len(frames) == 24
    assert min(frame.mean() for frame in frames) > 40
    assert min(apart(one, another) for one, another in zip(frames, frames[4:], strict=False)) > 0.05


@pytest.mark.parametrize("motion_type", MotionType)
def test_movement_grows_with_intensity(keyframe: Path, motion_type: MotionType) -> None:
    clips = [filmed(asked(keyframe, motion_type, intensity)) for intensity in (0.1, 0.4, 0.85)]
    gentle, clear, strong = (apart(frames[0], frames[-1]) for frames in clips)
    assert gentle * 1.3 < clear
    assert clear * 1.15 < strong


@pytest.mark.parametrize("motion_type", MotionType)
def test_the_camera_goes_one_way_without_jumps_or_stops(motion_type: MotionType) -> None:
    views = [View.along(motion_type, 0.5, step / 100, 0) for step in range(101)]
    ways = np.array([(*view.travel, view.forward) for view in views])
    steps = np.linalg.norm(np.diff(ways, axis=0), axis=1)
    assert steps.min() > 0.5 * steps.max()
    assert all(float(before @ after) > 0 for before, after in pairwise(np.diff(ways, axis=0)))


def test_push_in_comes_nearer_and_pull_back_goes_away(keyframe: Path) -> None:
    middle = np.s_[45:150, 80:240]
    zooms = {}
    for motion_type in (MotionType.PUSH_IN, MotionType.PULL_BACK):
        frames = filmed(asked(keyframe, motion_type))
        fits = {zoom: apart(magnified(frames[0], zoom)[middle], frames[-1][middle]) for zoom in (0.92, 1.0, 1.08)}
        zooms[motion_type] = min(fits, key=lambda zoom, fits=fits: fits[zoom])  # type: ignore[misc]
    assert zooms == {MotionType.PUSH_IN: 1.08, MotionType.PULL_BACK: 0.92}


def test_pans_go_opposite_ways_and_what_is_near_moves_more(keyframe: Path) -> None:
    far, ground = np.s_[60:100], np.s_[150:180]
    right, left = (filmed(asked(keyframe, motion)) for motion in (MotionType.PAN_RIGHT, MotionType.PAN_LEFT))
    assert shift(right[0][ground], right[-1][ground]) < shift(right[0][far], right[-1][far]) < 0
    assert shift(left[0][ground], left[-1][ground]) > shift(left[0][far], left[-1][far]) > 0


def test_rising_lowers_the_ground_and_descending_lifts_it(keyframe: Path) -> None:
    rise, descend = (filmed(asked(keyframe, motion)) for motion in (MotionType.RISE, MotionType.DESCEND))
    columns = np.s_[120:178, 40:280]
    assert shift(rise[0][columns].T, rise[-1][columns].T) > 0 > shift(descend[0][columns].T, descend[-1][columns].T)


@pytest.mark.parametrize("weather", ["snow", "rain", "fog", "drifting petals"])
def test_weather_and_water_live_while_the_camera_rests(tmp_path: Path, weather: str) -> None:
    keyframe = drawn(tmp_path, f"A boat on a lake at night, {weather}.")
    frames = filmed(asked(keyframe, MotionType.DRIFT, 0.0))
    assert min(apart(one, another) for one, another in pairwise(frames)) > 0.02


def test_a_long_clip_never_leaves_the_painted_world(keyframe: Path) -> None:
    frames = filmed(replace(asked(keyframe, MotionType.PULL_BACK, 1.0), seconds=90, frames_per_second=1))
    assert len(frames) == 90
    assert min(frame.min() for frame in frames[:, 2:-2, 2:-2]) > 5
    assert max(apart(one, another) for one, another in pairwise(frames)) < 12


def test_clips_filmed_at_once_are_the_same_as_one_by_one(keyframe: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"clip-{number}.mp4" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: EmbeddedClips().make(asked(keyframe), path, Books()), paths))
    EmbeddedClips().make(asked(keyframe), tmp_path / "alone.mp4", Books())
    assert {path.read_bytes() for path in paths} == {(tmp_path / "alone.mp4").read_bytes()}


def test_nothing_but_the_clip_is_left_in_its_folder(keyframe: Path) -> None:
    filmed(asked(keyframe))
    assert {path.name for path in keyframe.parent.iterdir()} == {keyframe.name, "keyframe-01.mp4"}


def test_a_keyframe_of_another_hand_is_for_a_person_to_decide(tmp_path: Path) -> None:
    foreign = tmp_path / "keyframe-07.png"
    Image.new("RGB", (320, 180), "teal").save(foreign)
    with pytest.raises(PersonDecides, match=r"keyframe-07\.png has no drawing recipe"):
        EmbeddedClips().make(asked(foreign), tmp_path / "clip.mp4", Books())
    assert list(tmp_path.iterdir()) == [foreign]


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_broken_keyframe_is_for_a_person_to_decide(tmp_path: Path, data: bytes) -> None:
    broken = tmp_path / "keyframe-07.png"
    broken.write_bytes(data)
    with pytest.raises(PersonDecides, match=r"keyframe-07\.png"):
        EmbeddedClips().make(asked(broken), tmp_path / "clip.mp4", Books())


def test_a_failed_clip_leaves_the_earlier_one_and_nothing_half_written(keyframe: Path, tmp_path: Path) -> None:
    EmbeddedClips().make(asked(keyframe), tmp_path / "clip.mp4", Books())
    before = (tmp_path / "clip.mp4").read_bytes()
    with pytest.raises(av.FFmpegError):
        EmbeddedClips().make(replace(asked(keyframe), width=321), tmp_path / "clip.mp4", Books())
    assert (tmp_path / "clip.mp4").read_bytes() == before
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".mp4"}
