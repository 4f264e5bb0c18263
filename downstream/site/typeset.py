"""The story cut into pieces as the page sets them; joined again they are the story, character for character."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import multimode
from typing import TYPE_CHECKING

from downstream.domain.text import Block, BlockKind, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downstream.domain.production import Production
    from downstream.domain.story import Story

_COLLAPSIBLE = " \t\n\r"
"""What a browser folds into nothing between two blocks (CSS Text 3, white space processing)."""
_LINE_END = re.compile(r"(\r\n|[\n\r\u2028\u2029])")
_LEAST_FOR_INITIAL = 220
"""Characters a paragraph needs to stand beside a large initial."""
# Scripts with a tradition of large initials: Latin, Greek and Cyrillic (Unicode, Blocks.txt).
_INITIAL = re.compile(r"[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1fff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A paragraph, verse, heading or break, or the white space between two of them (``kind`` is None)."""

    text: str
    kind: BlockKind | None = None
    has_initial: bool = False
    """It opens the story and begins with a large letter."""
    stands_apart: bool = False
    """The author left more room before it than usual."""

    @property
    def is_indented(self) -> bool:
        """The author's own indent, which no browser takes away, stands before it."""
        return self.text[:1] not in {"", *_COLLAPSIBLE} and self.text[0].isspace()

    @property
    def collapses(self) -> bool:
        """White space that takes no room between two paragraphs."""
        return not self.text.strip(_COLLAPSIBLE)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Each line with the line end that follows it."""
        parts = _LINE_END.split(self.text)
        return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


@dataclass(frozen=True, slots=True)
class SetSection:
    """One section's pieces and the segments that play beside them."""

    id: str
    segment_ids: tuple[str, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class SetStory:
    """The whole story; ``title`` belongs to the text itself when ``title_is_text``."""

    title: str
    title_is_text: bool
    sections: tuple[SetSection, ...]


def set_story(story: Story, production: Production) -> SetStory:
    """The story in pieces, section by section. A text that begins with its own title shows it once."""
    found = blocks(story.text)
    title_end = _title_end(story, found)
    pieces = _Pieces(story.text, found)
    sections, start = [], 0
    for section in production.sections:
        end = start + len(section.text)
        sections.append(SetSection(section.id, section.segment_ids, tuple(pieces.between(max(start, title_end), end))))
        start = end
    title = story.text[:title_end] if title_end else story.title
    return SetStory(title, bool(title_end), tuple(sections))


def beginning(story: Story, length: int = 155) -> str:
    """The first words after the title, as many as fit, for those who describe the page in one line."""
    found = blocks(story.text)
    start = _title_end(story, found)
    prose = (one for one in found if one.start >= start and one.kind not in {BlockKind.HEADING, BlockKind.BREAK})
    text = " ".join(" ".join(story.text[one.start : one.end] for one in prose).split())
    if len(text) <= length:
        return text
    cut = text[:length]
    # Where words are not separated by spaces, any character may be the last.
    return (cut[: cut.rindex(" ")] if " " in cut[length // 2 :] else cut).rstrip(" ,;:-\u2013\u2014") + "…"


def _title_end(story: Story, found: tuple[Block, ...]) -> int:
    """Where the text's own title ends; 0 when the text begins without it."""
    if not found or story.text[found[0].start : found[0].end].casefold() != story.title.strip().casefold():
        return 0
    return found[0].end


class _Pieces:
    def __init__(self, text: str, found: tuple[Block, ...]) -> None:
        self._text, self._blocks = text, found
        ends = [0, *(block.end for block in found)]
        rooms = [_count_line_ends(text[end : block.start]) for end, block in zip(ends, found, strict=False)]
        usual = max(multimode(rooms[1:] or [0]))
        self._apart = {block.start for block, room in zip(found, rooms, strict=True) if room > usual}
        first = next((block for block in found if block.kind is not BlockKind.HEADING), None)
        self._initial = first.start if first and _takes_initial(text[first.start : first.end], first.kind) else -1

    def between(self, start: int, end: int) -> Iterator[Piece]:
        """The pieces of ``text[start:end]``; a block that a section's end cuts in two becomes two."""
        position = start
        for block in self._blocks:
            left, right = max(start, block.start), min(end, block.end)
            if left >= right:
                continue
            left -= self._indent_before(position, left)
            if position < left:
                yield Piece(self._text[position:left])
            is_whole = block.start >= start
            yield Piece(
                self._text[left:right],
                block.kind,
                has_initial=is_whole and block.start == self._initial,
                stands_apart=is_whole and block.start in self._apart,
            )
            position = right
        if position < end:
            yield Piece(self._text[position:end])

    def _indent_before(self, position: int, left: int) -> int:
        """How many ideographic spaces stand right before a paragraph: they are how its author indents it."""
        gap = self._text[position:left]
        return len(gap) - len(gap.rstrip("\u3000"))


def _count_line_ends(gap: str) -> int:
    return len(_LINE_END.findall(gap))


def _takes_initial(paragraph: str, kind: BlockKind) -> bool:
    long_enough = kind is BlockKind.PROSE and len(paragraph) >= _LEAST_FOR_INITIAL
    return long_enough and bool(_INITIAL.match(paragraph))
