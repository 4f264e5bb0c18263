"""A story as models get to read it: the brief, and the text in numbered pieces, to be named without repeating them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from downstream.domain.tasks import one_line
from downstream.domain.text import Block, BlockKind, blocks, is_clean_cut, sentence_starts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downstream.domain.story import Story

_LONG_CHARACTERS = 400  # a longer stretch without a sentence's end is divided at its spaces
_LINE_START = re.compile(r"[\n\r\u2028]\s*(?=\S)")
_WORD_START = re.compile(r"\s+(?=\S)")


def brief_lines(story: Story) -> Iterator[str]:
    """The title and the customer's wishes, a line each."""
    brief = story.brief
    yield f"Title: {one_line(story.title, 200)}"
    yield f"Language: {story.language}"
    wishes = {
        "Tone": brief.tone,
        "Style": brief.style,
        "Colours": brief.colors,
        "References": brief.references,
        "Notes": (brief.notes,),
    }
    for name, words in wishes.items():
        if any(words):
            yield f"{name}: {one_line('; '.join(words), 2000)}"


def paragraphs(text: str) -> list[str]:
    """The text as a person counts it: paragraphs, verses and headings, each on one line, without scene breaks."""
    return [
        " ".join(text[block.start : block.end].split()) for block in blocks(text) if block.kind is not BlockKind.BREAK
    ]


def piece_starts(text: str) -> list[int]:
    """Where the pieces of ``text`` begin that a section may begin with; the first is 0.

    A heading and what it heads are one piece, and a scene break belongs to what comes before it.
    """
    starts: list[int] = []
    after_heading = False
    for block in blocks(text):
        if block.kind is not BlockKind.BREAK and not after_heading:
            starts.append(block.start)
        after_heading = block.kind is BlockKind.HEADING
        starts.extend(_starts_within(text, block))
    return [0, *starts[1:]]


def numbered_pieces(text: str) -> Iterator[str]:
    """One line for each piece, so that nothing within a piece looks like a number of ours; paragraphs stand apart."""
    starts = piece_starts(text)
    paragraphs = {block.start for block in blocks(text)}
    for number, (start, end) in enumerate(pairwise([*starts, len(text)]), 1):
        if start in paragraphs or number == 1:
            yield ""
        yield f"[{number}] {' '.join(text[start:end].split())}"


def _starts_within(text: str, block: Block) -> Iterator[int]:
    """Where a block's later sentences or lines begin, and its words where neither comes for long."""
    if block.kind in {BlockKind.HEADING, BlockKind.BREAK}:
        return
    if block.kind is BlockKind.VERSE:
        found = [line.end() for line in _LINE_START.finditer(text, block.start, block.end)]
    else:
        found = list(sentence_starts(text, block.start, block.end))
    for start, end in pairwise([block.start, *found, block.end]):
        if start > block.start:
            yield start
        if end - start > _LONG_CHARACTERS:
            yield from _spaces(text, start, end)


def _spaces(text: str, start: int, end: int) -> Iterator[int]:
    for found in _WORD_START.finditer(text, start, end):
        if found.end() - start >= _LONG_CHARACTERS // 2 and is_clean_cut(text, found.end()):
            start = found.end()
            yield start
