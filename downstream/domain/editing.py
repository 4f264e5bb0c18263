"""How a text model reads a story before anything is bought for it, and how it rewords what a content filter refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from downstream.domain.errors import TryAgain
from downstream.domain.material import brief_lines, paragraphs
from downstream.domain.ports import Concern, ConcernKind, Subject
from downstream.domain.tasks import Answer, Fence, Task, one_line, read_answer

if TYPE_CHECKING:
    from downstream.domain.ports import RewordRequest
    from downstream.domain.story import Story


_MOST_PROMPT_CHARACTERS = {Subject.KEYFRAMES: 2400, Subject.CLIPS: 500}


class Finding(Answer):
    """One reason why a person should read the story first."""

    kind: ConcernKind
    paragraphs: list[int] = Field(min_length=1)
    """The numbers of the paragraphs it is found in; 0 stands for the title and the brief."""


class Screening(Answer):
    """What the reading found."""

    findings: list[Finding]
    """Nothing where the story may be produced as it is."""
    read_to_the_end_paragraph: int
    """The number of the last paragraph, once every paragraph up to it was read."""


class Rewording(Answer):
    """The image prompt in other words."""

    image_prompt: str
    """In English, at most 1800 characters."""


class MotionRewording(Answer):
    """The motion prompt in other words."""

    motion_prompt: str
    """In English, at most 400 characters."""


def screen_task(story: Story) -> Task:
    """The question that is answered with a ``Screening``."""
    numbered = [f"[{number}] {words}" for number, words in enumerate(paragraphs(story.text), 1)]
    fence = Fence("\n".join((f"[0] {' / '.join(brief_lines(story))}", *numbered)))
    return Task(f"{_SCREEN_INSTRUCTIONS}\n\n{fence.rule}", fence.fenced, Screening)


def concerns_from(story: Story, answer: str) -> tuple[Concern, ...]:
    """What a model's answer (JSON) to ``screen_task`` found, one concern of a kind.

    Raises:
        TryAgain: the story was not read to its end, so there is no verdict.
    """
    screening = read_answer(answer, Screening, "screen")
    last = len(paragraphs(story.text))
    if screening.read_to_the_end_paragraph != last:
        raise TryAgain("screen: the story was not read to its last paragraph, so there is no verdict")
    named: dict[ConcernKind, set[int]] = {}
    for finding in screening.findings:
        if not all(0 <= number <= last for number in finding.paragraphs):
            raise TryAgain("screen: the answer names a paragraph that is not there, so there is no verdict")
        named.setdefault(finding.kind, set()).update(finding.paragraphs)
    return tuple(Concern(kind, tuple(sorted(numbers - {0}))) for kind, numbers in named.items())


def reword_task(request: RewordRequest) -> Task:
    """The question that is answered with a ``Rewording``, or for a clip with a ``MotionRewording``."""
    fence = Fence(f"Prompt: {request.prompt}")
    if request.subject is Subject.CLIPS:
        return Task(f"{_REWORD_MOTION_INSTRUCTIONS}\n\n{fence.rule}", fence.fenced, MotionRewording)
    return Task(f"{_REWORD_INSTRUCTIONS}\n\n{fence.rule}", fence.fenced, Rewording)


def prompt_from(request: RewordRequest, answer: str) -> str:
    """The new prompt that a model's answer (JSON) to ``reword_task`` holds.

    Raises:
        TryAgain: it is empty or the old one.
    """
    if request.subject is Subject.CLIPS:
        words = read_answer(answer, MotionRewording, "reword").motion_prompt
    else:
        words = read_answer(answer, Rewording, "reword").image_prompt
    most = _MOST_PROMPT_CHARACTERS[request.subject]
    prompt = one_line(words, most)
    if not prompt or prompt == one_line(request.prompt, most):
        raise TryAgain(f"reword {request.piece}: the answer says nothing new")
    return prompt


_SCREEN_INSTRUCTIONS = """\
You read stories that customers have ordered illustrated films of, before anything is produced, and point out what a
person must look at first. You do not judge quality, taste, opinions or morals. Most stories have nothing to point
out; an empty list is the usual answer. The paragraphs are numbered; 0 is the title with the customer's wishes. Read
all of them, then answer with JSON that fits the schema, and with nothing else.

refused_content - scenes that image and video services refuse however they are drawn, and which the story cannot do
without: explicit sexual acts or nudity, sexual violence, torture or mutilation shown in detail, instructions for
weapons, drugs or self-harm, praise of terror or hatred against a group of people. Not meant: death, grief, war,
murder, ghosts, monsters, crime, illness, romance or kisses told as stories tell them; those can be shown by what is
around them.

real_person - somebody who lives or lived within about the last hundred years and whom a stranger could identify: a
public figure by name, or a private person given with full name together with particulars such as an address, an
employer or the customer's own remark that it is a real person to be shown. Not meant: invented characters, first
names alone, people of history or legend, authors who are merely quoted, the customer's own family called by first
names.

minor - only where a child is placed in a sexual or romantic situation, is abused, hurt or killed in a way that is
shown in detail, or where the customer wants realistic, photographic pictures in which an identifiable real child is
the main person. Not meant: children as such. Fairy tales, school stories, adventures and memories of childhood,
with children as heroes, with danger, loss or a death that is told gently, have nothing to point out.

Where you hesitate between pointing out and not: point it out only if an image service would probably refuse, or a
real person could be harmed."""

_REWORD_INSTRUCTIONS = """\
An image service's content filter refused a prompt for an illustration. Write the same scene anew so that a cautious
filter lets it pass and the picture still tells the same moment: keep place, light, people with their described
looks, distance, mood and whatever is said about the style; leave out or show from afar whatever could be taken for
violence, blood, weapons, nudity, distress of a child or a real person's likeness; suggest it by shadows, gestures,
weather and things left behind. Do not argue and do not mention the filter. Keep the subject in the middle 60 % of a
16:9 frame, and no lettering. Answer with JSON that fits the schema, and with nothing else."""

_REWORD_MOTION_INSTRUCTIONS = """\
A video service's content filter refused a prompt that says how a finished illustration is set in motion. Say the
same movement anew so that a cautious filter lets it pass: keep the camera's path, its pace, the mood and which
things move; leave out, or suggest by wind, light, water, cloth and small gestures, whatever could be taken for
violence, blood, weapons, nudity, touch, distress of a child or a real person's likeness. Nobody and nothing new comes
into the picture. Do not argue and do not mention the filter. One shot without a cut, and no lettering. Answer with
JSON that fits the schema, and with nothing else."""
