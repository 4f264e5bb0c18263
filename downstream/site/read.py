"""Reads a finished page the way a visitor gets it: its text, its marker, the files it names, its weight."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_CSS_URL = re.compile(r"""url\(\s*["']?([^"')]+)""")
_NOT_A_FILE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageWeight:
    """What a reader of a modern browser loads, in bytes: in the whole and before scrolling."""

    whole_bytes: int
    before_scrolling_bytes: int


def read_text(html: bytes) -> str:
    """The story as the page shows it, white space included."""
    return "".join(_read(html).text)


def read_marker(html: bytes) -> str | None:
    """The id of the stream the page belongs to; None when this is no page of ours."""
    return _read(html).metas.get("downstream-stream")


def referenced_files(folder: Path) -> tuple[str, ...]:
    """Every file that the page, its style sheets and its reel name, as sorted paths from ``folder``."""
    page = _read((folder / "index.html").read_bytes())
    named = {*page.addresses, *(path for segment in page.segments for path in _files_of(segment))}
    base = page.canonical
    local = {one.removeprefix(base) if base else one for one in named}
    for sheet in [one for one in local if one.endswith(".css") and (folder / one).is_file()]:
        inner = _CSS_URL.findall((folder / sheet).read_text())
        local |= {f"{sheet.rpartition('/')[0]}/{one}" for one in inner if not _NOT_A_FILE.match(one)}
    return tuple(sorted(one for one in local if one and not _NOT_A_FILE.match(one)))


def page_weight(folder: Path) -> PageWeight:
    """The weight of the page for a browser that decodes AV1; before it scrolls, at most ``ahead_bytes`` of clips."""
    page = _read((folder / "index.html").read_bytes())
    clips = [segment["codecs"][0] for segment in page.segments]
    start = sum((folder / name).stat().st_size for name in {"index.html", *page.loaded_first})
    return PageWeight(
        whole_bytes=start + sum((folder / clip["file"]).stat().st_size for clip in clips),
        before_scrolling_bytes=start + sum(_loaded_ahead(clips[:2], page.reel["ahead_bytes"])),
    )


def _loaded_ahead(clips: list[dict[str, Any]], ahead_bytes: int) -> list[int]:
    """The groups a player fetches for a reader at the very top: of this clip and the next, within its budget."""
    groups = [
        sum(clip["sizes"][first:last])
        for clip in clips
        for first, last in zip(clip["keys"], [*clip["keys"][1:], None], strict=True)
    ]
    return [size for size, sum_so_far in zip(groups, accumulate(groups), strict=True) if sum_so_far <= ahead_bytes]


def _files_of(segment: dict[str, Any]) -> list[str]:
    return [segment["poster"], *(codec["file"] for codec in segment["codecs"])]


def _read(html: bytes) -> _Page:
    page = _Page()
    # A browser reads every kind of line end as a line feed (WHATWG HTML, "preprocessing the input stream").
    page.feed(html.decode().replace("\r\n", "\n").replace("\r", "\n"))
    page.close()
    return page


class _Page(HTMLParser):
    """What a parsed document says about itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.metas: dict[str, str] = {}
        self.addresses: list[str] = []
        self.loaded_first: list[str] = []
        self.canonical = ""
        self._open: list[tuple[str, bool]] = []
        self._reel: list[str] = []
        self._in_reel = False

    @property
    def reel(self) -> dict[str, Any]:
        """What the player is told."""
        reel: dict[str, Any] = json.loads("".join(self._reel) or "{}")
        return reel

    @property
    def segments(self) -> list[dict[str, Any]]:
        """The reel's segments in the order of the page."""
        segments: list[dict[str, Any]] = self.reel.get("segments", [])
        return segments

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append((tag, "data-story-text" in values))
        if tag == "meta":
            self._read_meta(values)
        elif tag == "link" and values.get("rel") == "canonical":
            self.canonical = values["href"]
        elif "src" in values or tag == "link":
            self._read_address(values)
        self._in_reel = tag == "script" and values.get("id") == "reel"

    def handle_endtag(self, tag: str) -> None:
        while any(name == tag for name, _ in self._open) and self._open.pop()[0] != tag:
            pass
        self._in_reel = False

    def handle_data(self, data: str) -> None:
        if self._in_reel:
            self._reel.append(data)
        elif any(is_story for _, is_story in self._open):
            self.text.append(data)

    def _read_meta(self, values: dict[str, str]) -> None:
        name = values.get("name") or values.get("property") or ""
        self.metas[name] = values.get("content", "")
        if name == "og:image":
            self.addresses.append(values["content"])

    def _read_address(self, values: dict[str, str]) -> None:
        address = values.get("src") or values.get("href") or ""
        self.addresses.append(address)
        is_inside_noscript = any(name == "noscript" for name, _ in self._open)
        if not is_inside_noscript and not _NOT_A_FILE.match(address):
            self.loaded_first.append(address)
