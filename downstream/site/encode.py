"""A clip made ready for scrolling: AV1 and H.264 in short closed groups, an index of their packets, a poster."""

from __future__ import annotations

import base64
import io
import json
import os
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self, cast

import av
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from downstream.domain.errors import PersonDecides
from downstream.domain.troubles import is_no_fault_of_a_film
from downstream.files import replace, temporary_name
from downstream.site.marks import TRAINED_ALGORITHMIC_MEDIA, encode_marked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

GROUP_FRAMES = 12
"""What the player decodes at once: twelve frames take about 50 ms in software."""
TARGET_SSIM = 0.983
"""As faithful as WebP of quality 85: the mean over photographs set in motion."""
MAX_WIDTH = 1280
MAX_POSTER_BYTES = 60_000

_LEAST_GAIN_SSIM = 0.0015
"""Noise cannot be bought: a finer setting that gains less than this is not worth its bytes."""
_POSTER_LADDER = ((1280, 84), (1280, 74), (1280, 62), (1280, 48), (960, 45), (640, 35))
"""Widths in pixels and WebP qualities, tried in turn until the poster is light enough."""


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    encoder: str
    options: Mapping[str, str]
    describe: Callable[[bytes], dict[str, str]]
    """The finished file's extradata in the words of WebCodecs."""
    usual_crf: int
    """Where skies do not show bands yet, whatever SSIM says of coarser settings."""
    finest_crf: int
    coarsest_crf: int
    crf_step: int
    heaviest_bytes: int
    """A clip above this would use up the page's budget of about 1 MB a clip."""


def _describe_av1(extradata: bytes) -> dict[str, str]:
    """``av01.P.LLT.DD`` (AV1 in ISO base media, codecs parameter string); its decoders need no description."""
    profile, level = extradata[1] >> 5, extradata[1] & 31
    tier, is_deep = extradata[2] >> 7, extradata[2] >> 6 & 1
    return {"codec": f"av01.{profile}.{level:02d}{'MH'[tier]}.{10 if is_deep else 8:02d}"}


def _describe_h264(extradata: bytes) -> dict[str, str]:
    """``avc1.PPCCLL`` (RFC 6381), and the ``avcC`` box's content, which WebCodecs calls the description."""
    return {"codec": f"avc1.{extradata[1:4].hex()}", "description": base64.b64encode(extradata).decode()}


# SVT's preset 9 needs an eighth of preset 6's time for a quarter more bytes (144 smooth frames); it calls 10 and above
# unfit for viewing, and its low-delay modes keep noise that the others average away. Scene-cut detection is off, so
# that every group is equally long.
_CODECS = (
    _Codec(
        name="av1",
        encoder="libsvtav1",
        options={"preset": "9", "svtav1-params": "irefresh-type=2:scd=0:lp=1"},
        describe=_describe_av1,
        usual_crf=32,
        finest_crf=17,
        coarsest_crf=52,
        crf_step=5,
        heaviest_bytes=1_200_000,
    ),
    _Codec(
        name="h264",
        encoder="libx264",
        options={"preset": "fast", "profile": "high", "x264-params": f"scenecut=0:bframes=2:min-keyint={GROUP_FRAMES}"},
        describe=_describe_h264,
        usual_crf=25,
        finest_crf=16,
        coarsest_crf=37,
        crf_step=3,
        heaviest_bytes=2_000_000,
    ),
)


def encode_for_scrolling(clip: Path, folder: Path) -> None:
    """``folder`` holds ``av1.mp4``, ``h264.mp4``, ``poster.webp`` (the first frame) and ``index.json``.

    The index has ``width``, ``height``, ``rate`` (a fraction), ``frames`` and, for each of ``codecs``, its ``file``,
    ``codec`` and ``description`` as WebCodecs wants them, the byte ``start`` of the first packet, the ``sizes`` of
    all packets, which follow each other without a gap, the packets that are ``keys``, and, where packets are not
    in the order of their frames, ``shows``: the frame each packet holds.

    Raises:
        PersonDecides: the clip cannot be decoded.
    """
    os.environ.setdefault("SVT_LOG", "0")  # SVT speaks on stderr, which cron would mail; its errors are raised as well
    folder.mkdir(parents=True, exist_ok=True)
    try:
        poster = _encode(clip, folder)
        index = _index(folder)
    except (av.FFmpegError, EOFError) as error:
        if is_no_fault_of_a_film(error):
            raise
        raise PersonDecides(f"the clip {clip.name} cannot be made ready for scrolling: {error}") from error
    replace(folder / "poster.webp", _light_poster(poster), durable=False)
    replace(folder / "index.json", json.dumps(index, separators=(",", ":")).encode(), durable=True)


def _encode(clip: Path, folder: Path) -> Image.Image:
    """Writes both encodings in one pass over the clip; returns its first frame."""
    sample, share = _sample(clip)
    files = [folder / f"{codec.name}.mp4" for codec in _CODECS]
    with ExitStack() as stack:
        encoders = [
            stack.enter_context(
                _Encoder(str(temporary_name(file)), codec, _choose_crf(codec, sample, share), sample[0])
            )
            for codec, file in zip(_CODECS, files, strict=True)
        ]
        for frame in _frames(clip):
            for encoder in encoders:
                encoder.feed(frame)
    for file in files:
        temporary_name(file).replace(file)
    return _to_picture(next(_frames(clip)))


# --- frames ----------------------------------------------------------------------------------------------------


def _frames(clip: Path) -> Iterator[VideoFrame]:
    """The clip's frames in one colour space, at most ``MAX_WIDTH`` wide, at an even pace."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # clips are encoded side by side; more threads only cost memory
        pace = 1 / (stream.average_rate or stream.guessed_rate or Fraction(24)).limit_denominator(1001)
        for position, decoded in enumerate(container.decode(stream)):
            frame = _normal(decoded)
            frame.pts, frame.time_base = position, pace
            frame.pict_type = 0  # or the encoder would copy the clip's own key frames
            yield frame


def _normal(frame: VideoFrame) -> VideoFrame:
    """The frame in 8-bit BT.709; what does not say what it is counts as BT.709, as it does in browsers."""
    width = min(MAX_WIDTH, frame.width) // 2 * 2
    height = round(frame.height * width / frame.width / 2) * 2
    known = frame.colorspace if frame.colorspace in set(Colorspace) else Colorspace.ITU709
    return frame.reformat(
        width,
        height,
        "yuv420p",
        src_colorspace=known,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )


def _rate_of(frame: VideoFrame) -> Fraction:
    return Fraction(1) / (frame.time_base or Fraction(1, 24))


def _sample(clip: Path) -> tuple[list[VideoFrame], float]:
    """Two groups of frames, and which share of the clip they are."""
    with av.open(str(clip)) as container:
        count = container.streams.video[0].frames
    wanted = {start + step for start in (count // 6, count // 2) for step in range(GROUP_FRAMES)}
    some = [frame for position, frame in enumerate(islice(_frames(clip), max(wanted) + 1)) if position in wanted]
    if not some:
        raise EOFError("it has no frame")
    return some, min(1.0, len(some) / max(count, 1))


def _to_picture(frame: VideoFrame) -> Image.Image:
    rgb = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
    return Image.fromarray(rgb.to_ndarray())


def _light_poster(picture: Image.Image) -> bytes:
    for width, quality in _POSTER_LADDER:
        smaller = picture.resize(
            (min(width, picture.width), picture.height * min(width, picture.width) // picture.width)
        )
        data = encode_marked(smaller, "WEBP", {"quality": quality, "method": 4})
        if len(data) < MAX_POSTER_BYTES:
            break
    return data


def _index(folder: Path) -> dict[str, Any]:
    codecs = {}
    for codec in _CODECS:
        with av.open(str(folder / f"{codec.name}.mp4")) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            described = codec.describe(stream.codec_context.extradata or b"")
            rate, size = stream.average_rate or Fraction(24), (stream.width, stream.height)
        codecs[codec.name] = {"file": f"{codec.name}.mp4", **described, **_describe_packets(packets, rate)}
    return {
        "width": size[0],
        "height": size[1],
        "rate": [rate.numerator, rate.denominator],
        "frames": len(packets),
        "codecs": codecs,
    }


def _describe_packets(packets: list[Packet[VideoStream]], rate: Fraction) -> dict[str, Any]:
    positions = [packet.pos or 0 for packet in packets]
    sizes = [packet.size for packet in packets]
    if positions != [positions[0] + before for before in accumulate(sizes[:-1], initial=0)]:
        raise EOFError("its packets do not follow each other")
    shows = [round((packet.pts or 0) * (packet.time_base or 1) * rate) for packet in packets]
    described: dict[str, Any] = {
        "start": positions[0],
        "sizes": sizes,
        "keys": [position for position, packet in enumerate(packets) if packet.is_keyframe],
    }
    return described if shows == sorted(shows) else {**described, "shows": shows}


# --- encoding --------------------------------------------------------------------------------------------------


class _Encoder:
    """Frames go in, an MP4 comes out; the file is whole when the context ends without an error."""

    def __init__(self, target: str | io.BytesIO, codec: _Codec, crf: int, like: VideoFrame) -> None:
        # Only a named file can be opened again to bring its index to the front.
        options = {"movflags": "+faststart"} if isinstance(target, str) else {}
        self._container = av.open(target, "w", format="mp4", options=options)
        self._container.metadata["comment"] = f"AI-generated ({TRAINED_ALGORITHMIC_MEDIA})"
        self._stream = cast(
            "VideoStream",
            self._container.add_stream(codec.encoder, _rate_of(like), {**codec.options, "crf": str(crf)}),
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = like.width, like.height, "yuv420p"
        context = self._stream.codec_context
        context.gop_size = GROUP_FRAMES
        context.thread_count = 1  # the same bytes on every machine
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    def feed(self, frame: VideoFrame | None) -> None:
        """The frame is on its way; None asks for what is still under way."""
        with nullcontext() if self._stream.codec_context.is_open else _ordinary_time():
            self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if not failed:
            self.feed(None)
        self._container.close()


@contextmanager
def _ordinary_time() -> Iterator[None]:
    """Afterwards all threads of this process are scheduled as the caller was before.

    Where root opens an encoder, SVT-AV1 gives real-time priority (SCHED_FIFO, 99) to the thread that does and to its
    own, and never takes it back: these, and all that the former starts later, would keep everything else from running.
    """
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended in the meantime
                os.sched_setscheduler(int(thread.name), policy, priority)


@dataclass(frozen=True, slots=True)
class _Trial:
    crf: int
    ssim: float
    clip_bytes: float


def _choose_crf(codec: _Codec, sample: list[VideoFrame], share: float) -> int:
    """The usual CRF, finer where the target asks for it, coarser where the clip would be too heavy."""
    trial = _try(codec, codec.usual_crf, sample, share)
    if trial.clip_bytes > codec.heaviest_bytes:
        while trial.clip_bytes > codec.heaviest_bytes and trial.crf < codec.coarsest_crf:
            trial = _try(codec, trial.crf + codec.crf_step, sample, share)
        return trial.crf
    while trial.ssim < TARGET_SSIM and trial.crf > codec.finest_crf:
        finer = _try(codec, trial.crf - codec.crf_step, sample, share)
        if finer.clip_bytes > codec.heaviest_bytes or finer.ssim - trial.ssim < _LEAST_GAIN_SSIM:
            break
        trial = finer
    return trial.crf


def _try(codec: _Codec, crf: int, sample: list[VideoFrame], share: float) -> _Trial:
    buffer = io.BytesIO()
    with _Encoder(buffer, codec, crf, sample[0]) as encoder:
        for position, frame in enumerate(sample):
            frame.pts = position
            encoder.feed(frame)
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        ssim = structural_similarity(sample, container.decode(video=0))
    return _Trial(crf, ssim, len(buffer.getvalue()) / share)


def structural_similarity(originals: Iterable[VideoFrame], copies: Iterable[VideoFrame]) -> float:
    """The mean SSIM (0-1) over pairs of frames, as FFmpeg's ``ssim`` filter measures it over all planes."""
    graph, sink, pace, buffers = None, None, Fraction(1, 24), []
    values = []
    for position, pair in enumerate(zip(originals, copies, strict=True)):
        if graph is None or sink is None:
            graph, pace = Graph(), pair[0].time_base or Fraction(1, 24)
            buffers = [
                graph.add_buffer(width=one.width, height=one.height, format=one.format, time_base=pace) for one in pair
            ]
            judge, sink = graph.add("ssim"), graph.add("buffersink")
            for side, buffer in enumerate(buffers):
                buffer.link_to(judge, 0, side)
            judge.link_to(sink)
            graph.configure()
        for buffer, frame in zip(buffers, pair, strict=True):
            frame.pts, frame.time_base = position, pace  # the originals keep theirs: they are encoded once more
            buffer.push(frame)
        values.append(float(sink.pull().metadata["lavfi.ssim.All"]))
    return fmean(values)
