"""One clip, made ready for scrolling."""

from __future__ import annotations

import base64
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from disks import disk_of
from PIL import Image

from downstream.domain.errors import PersonDecides
from downstream.site.encode import (
    GROUP_FRAMES,
    MAX_POSTER_BYTES,
    TARGET_SSIM,
    encode_for_scrolling,
    structural_similarity,
)
from downstream.site.marks import TRAINED_ALGORITHMIC_MEDIA, read_mark

CODECS = ("av1", "h264")


def read_index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "index.json").read_bytes())
    return index


def packets_of(folder: Path, codec: str) -> list[bytes]:
    """The packets as the player cuts them out of the file."""
    index = read_index(folder)["codecs"][codec]
    data, start, packets = (folder / index["file"]).read_bytes(), index["start"], []
    for size in index["sizes"]:
        packets.append(data[start : start + size])
        start += size
    return packets


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("codec", CODECS)
def test_the_index_addresses_the_very_packets_of_the_file(media: dict[str, Path], codec: str) -> None:
    folder = media["01"]

    with av.open(str(folder / f"{codec}.mp4")) as container:
        demuxed = [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets_of(folder, codec) == demuxed
    assert len(demuxed) == read_index(folder)["frames"] == 48


@pytest.mark.parametrize("codec", CODECS)
def test_every_group_is_twelve_frames_and_begins_with_a_key_frame(media: dict[str, Path], codec: str) -> None:
    index = read_index(media["01"])["codecs"][codec]

    assert index["keys"] == list(range(0, 48, GROUP_FRAMES))
    for key in index["keys"]:
        shown = index.get("shows", list(range(48)))[key : key + GROUP_FRAMES]
        assert sorted(shown) == list(range(key, key + GROUP_FRAMES))
        assert shown[0] == key


@pytest.mark.parametrize(("codec", "decoder"), [("av1", "libdav1d"), ("h264", "h264")])
def test_every_group_decodes_by_itself(media: dict[str, Path], codec: str, decoder: str) -> None:
    index = read_index(media["02"])["codecs"][codec]
    packets, whole = packets_of(media["02"], codec), frames_of(media["02"] / f"{codec}.mp4")

    for key in index["keys"]:
        alone = av.CodecContext.create(decoder, "r")
        if "description" in index:
            alone.extradata = base64.b64decode(index["description"])
        decoded = [
            frame
            for packet in [*packets[key : key + GROUP_FRAMES], None]
            for frame in alone.decode(av.Packet(packet) if packet else None)
        ]
        assert len(decoded) == GROUP_FRAMES
        for frame, same in zip(decoded, whole[key : key + GROUP_FRAMES], strict=True):
            assert np.array_equal(frame.to_ndarray(), same.to_ndarray())


@pytest.mark.parametrize("codec", CODECS)
def test_it_is_as_faithful_as_promised(clips: dict[str, Path], media: dict[str, Path], codec: str) -> None:
    originals, copies = frames_of(clips["03"]), frames_of(media["03"] / f"{codec}.mp4")

    assert structural_similarity(originals, copies) >= TARGET_SSIM


def test_h264_has_at_most_two_frames_in_a_row_that_look_both_ways(media: dict[str, Path]) -> None:
    kinds = [frame.pict_type for frame in frames_of(media["01"] / "h264.mp4")]

    runs = [len(list(run)) for kind, run in groupby(kinds) if kind == av.video.frame.PictureType.B]
    assert max(runs) <= 2


@pytest.mark.parametrize("codec", CODECS)
def test_a_player_that_reads_from_the_front_can_start_at_once(media: dict[str, Path], codec: str) -> None:
    data = (media["01"] / f"{codec}.mp4").read_bytes()

    assert data.index(b"moov") < data.index(b"mdat") < read_index(media["01"])["codecs"][codec]["start"]


def test_the_poster_is_the_first_frame_light_and_marked(clips: dict[str, Path], media: dict[str, Path]) -> None:
    data = (media["01"] / "poster.webp").read_bytes()

    poster = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)
    first = frames_of(clips["01"])[0].to_ndarray(format="rgb24", src_colorspace="ITU709").astype(int)
    assert len(data) < MAX_POSTER_BYTES
    assert np.abs(poster - first).mean() < 3
    assert read_mark(data) == TRAINED_ALGORITHMIC_MEDIA


def test_a_noisy_picture_still_makes_a_light_poster(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    clip = write_frames(tmp_path / "noise.mp4", [noise] * 2)

    encode_for_scrolling(clip, tmp_path / "noise")

    assert (tmp_path / "noise" / "poster.webp").stat().st_size < MAX_POSTER_BYTES


@pytest.mark.parametrize("codec", CODECS)
def test_colours_are_those_of_the_source_and_say_what_they_are(media: dict[str, Path], codec: str) -> None:
    frame = frames_of(media["01"] / f"{codec}.mp4")[0]

    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize("codec", CODECS)
def test_the_video_says_that_it_is_ai_made(media: dict[str, Path], codec: str) -> None:
    with av.open(str(media["01"] / f"{codec}.mp4")) as container:
        assert TRAINED_ALGORITHMIC_MEDIA in container.metadata["comment"]


def test_two_at_once_make_what_one_makes(clips: dict[str, Path], media: dict[str, Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(encode_for_scrolling, clips[one], tmp_path / one) for one in ("01", "02")]:
            done.result()

    for one in ("01", "02"):
        made = {path.name: path.read_bytes() for path in (tmp_path / one).iterdir()}
        assert made == {path.name: path.read_bytes() for path in media[one].iterdir()}


def test_a_wide_clip_with_odd_edges_is_brought_to_size(tmp_path: Path) -> None:
    tall = [np.full((902, 1602, 3), 40 + 10 * step, dtype=np.uint8) for step in range(3)]
    clip = write_frames(tmp_path / "wide.mp4", tall)

    encode_for_scrolling(clip, tmp_path / "wide")

    index = read_index(tmp_path / "wide")
    assert (index["width"], index["height"], index["frames"]) == (1280, 720, 3)


def test_nobody_is_kept_from_the_machine_afterwards(clips: dict[str, Path], tmp_path: Path) -> None:
    before = scheduling()

    encode_for_scrolling(clips["01"], tmp_path / "01")

    assert scheduling() == before


def scheduling() -> set[tuple[int, int]]:
    """Policy and priority of this process's threads; SVT changes them where it may: for root."""
    found = set()
    for thread in (int(path.name) for path in Path("/proc/self/task").iterdir()):
        with suppress(ProcessLookupError):  # it has ended in the meantime
            found.add((os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority))
    return found


def test_nothing_is_printed(clips: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encode_for_scrolling(clips["01"], tmp_path / "01")

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["not a video", "cut off", "empty"])
def test_a_broken_clip_is_for_a_person_and_leaves_no_index(clips: dict[str, Path], tmp_path: Path, damage: str) -> None:
    data = {"not a video": b"hello" * 100, "cut off": clips["01"].read_bytes()[:2000], "empty": b""}[damage]
    (tmp_path / "broken.mp4").write_bytes(data)

    with pytest.raises(PersonDecides, match=r"broken\.mp4 cannot be made ready"):
        encode_for_scrolling(tmp_path / "broken.mp4", tmp_path / "out")

    assert not (tmp_path / "out" / "index.json").exists()


def test_a_full_disk_is_not_the_clips_fault(clips: dict[str, Path], tmp_path: Path) -> None:
    with disk_of(tmp_path / "disk", 1) as disk:
        (disk / "ballast").write_bytes(b"\1" * 1_015_808)  # all but eight pages

        with pytest.raises(OSError, match="No space left"):
            encode_for_scrolling(clips["01"], disk / "frames")


def write_frames(path: Path, frames: list[Any]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "20", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30), Fraction(24000, 1001)])
def test_a_clip_keeps_its_pace_whatever_that_is(tmp_path: Path, rate: Fraction) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(30):
            picture = np.full((90, 160, 3), 40, np.uint8)
            picture[number : number + 20, number * 3 : number * 3 + 30] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())

    encode_for_scrolling(tmp_path / "clip.mp4", tmp_path / "frames")

    assert (read_index(tmp_path / "frames")["frames"], read_index(tmp_path / "frames")["rate"]) == (
        30,
        [rate.numerator, rate.denominator],
    )
    for codec in CODECS:
        times = [frame.time for frame in frames_of(tmp_path / "frames" / f"{codec}.mp4")]
        assert times == pytest.approx([number / rate for number in range(30)], abs=0.001)
