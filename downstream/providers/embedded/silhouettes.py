"""Shapes cut from paper: plants, people, animals, buildings.

Each is drawn with a pen that stands at its foot: it is about 1 high, and up is positive.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded.brush import Pen, rounded
from downstream.providers.embedded.vocabulary import Subject

if TYPE_CHECKING:
    from downstream.providers.embedded.brush import Point

Random = np.random.Generator
Draw = Callable[[Pen, Random], None]


# Plants


def conifer(pen: Pen, random: Random) -> None:
    """A fir of ragged tiers."""
    tiers, width = int(random.integers(7, 11)), random.uniform(0.15, 0.21)
    sides: tuple[list[Point], list[Point]] = ([(0, 1)], [(0, 1)])
    for tier in range(1, tiers + 1):
        up = 1 - 0.98 * tier / tiers
        for sign, side in zip((1, -1), sides, strict=True):
            out = sign * width * (1 - up) ** 0.85 * random.uniform(0.8, 1.15)
            side += [(out, up - random.uniform(0, 0.03)), (out * 0.66, up + 0.012)]
    pen.polygon([*sides[0], (0.012, -0.03), (-0.012, -0.03), *reversed(sides[1])])


def trunk(pen: Pen, random: Random) -> None:
    """A tall stem with a few bare branches; its crown is above the picture."""
    lean, width = random.uniform(-0.05, 0.05), random.uniform(0.028, 0.045)
    line = [(lean * t + 0.006 * sin(9 * t + lean * 90), t) for t in np.linspace(-0.02, 1, 12).tolist()]
    pen.stroke(line, width * 1.35, width * 0.75)
    for side in (-1, 1):
        pen.stroke([(side * width * 1.4, -0.02), (side * width * 0.2, 0.05)], width * 0.3, width * 0.9)
    for _ in range(random.integers(3, 7)):
        side, start = random.choice((-1, 1)), line[random.integers(4, 11)]
        _twig(pen, random, start, pi / 2 - side * random.uniform(0.5, 1.2), random.uniform(0.06, 0.14), width * 0.3)


def _twig(pen: Pen, random: Random, start: Point, angle: float, length: float, width: float) -> list[Point]:
    """A branch that forks until it is thin; returns where leaves can grow."""
    bend = random.uniform(-0.35, 0.35)
    middle = start[0] + cos(angle) * length / 2, start[1] + sin(angle) * length / 2
    end = middle[0] + cos(angle + bend) * length / 2, middle[1] + sin(angle + bend) * length / 2
    pen.stroke([start, middle, end], width, width * 0.62)
    if length * pen.size < 0.013 or width * pen.size < 0.0008:
        return [end]
    ends = [middle]
    for fork in (random.uniform(0.25, 0.6), -random.uniform(0.25, 0.6)):
        turned = angle + bend * 0.6 + fork
        ends += _twig(pen, random, end, turned, length * random.uniform(0.66, 0.84), width * 0.62)
    return ends


def bare_tree(pen: Pen, random: Random) -> None:
    """A leafless tree."""
    _branches(pen, random)


def _branches(pen: Pen, random: Random) -> list[Point]:
    return _twig(pen, random, (0, 0), pi / 2 + random.uniform(-0.1, 0.1), 0.26, 0.053)


def leafy_tree(pen: Pen, random: Random, *, bloom: float = 0) -> None:
    """A round tree in leaf; ``bloom`` (0-1) is how brightly it blossoms."""
    ends, tufts = _branches(pen, random), int(20 + 90 * min(pen.size, 0.5))
    for x, y in ends[:: max(1, len(ends) // tufts)]:
        _leaves(pen.standing(x, y, random.uniform(0.055, 0.09)), random, bloom)


def blossoming_tree(pen: Pen, random: Random) -> None:
    """A tree in blossom."""
    leafy_tree(pen, random, bloom=0.8)


def _leaves(pen: Pen, random: Random, bloom: float) -> None:
    """A tuft of leaves, the upper ones in the light."""
    for x, y in sorted(random.normal(0, 0.5, (12, 2)).tolist(), key=lambda spot: spot[1]):
        leaf, turn = random.uniform(0.13, 0.3), random.uniform(0, pi)
        if random.random() < 0.7 * bloom:
            pen.disc(x, y * 0.8, leaf * 0.55, leaf * 0.5, shine=bloom * random.uniform(0.3, 1))
            continue
        long, wide = (leaf * cos(turn), leaf * sin(turn)), (-leaf * 0.4 * sin(turn), leaf * 0.4 * cos(turn))
        corners = [(x + sign * right, y * 0.8 + sign * up) for sign in (1, -1) for right, up in (long, wide)]
        pen.polygon(corners, catch=0.34 * min(1, max(0, y)) * random.random())


def bush(pen: Pen, random: Random) -> None:
    """A wild round of leaves."""
    pen.disc(0, 0, 0.55, 0.75)
    for angle in np.linspace(0.1, pi - 0.1, 9).tolist():
        _leaves(pen.standing(cos(angle) * 0.55, sin(angle) * 0.75, 0.3), random, 0)


def bough(pen: Pen, random: Random, *, bloom: float = 0) -> None:
    """A branch that hangs to the right and down from (0, 0)."""
    for start, length in ((0.2, 0.34), (0.05, 0.26), (-0.12, 0.2)):
        for x, y in _twig(pen, random, (0, start), -0.2 + random.uniform(-0.2, 0.2), length, 0.024)[::5]:
            _leaves(pen.standing(x, y, random.uniform(0.035, 0.055)), random, bloom)


def grass(pen: Pen, random: Random) -> None:
    """One blade, sometimes with an ear."""
    lean = random.normal(0.12, 0.25)
    pen.stroke([(lean * t * t, t) for t in (0, 0.25, 0.5, 0.75, 1)], 0.035, 0.006)
    if random.random() < 0.12:
        pen.disc(lean, 1, 0.016, 0.05)


def reed(pen: Pen, random: Random) -> None:
    """A blade or a bulrush."""
    lean = random.normal(0, 0.12)
    pen.stroke([(lean * t * t, t) for t in (0, 0.25, 0.5, 0.75, 1)], 0.024, 0.008)
    if random.random() < 0.3:
        pen.stroke([(lean, 1), (lean * 1.1, 1.18)], 0.05, 0.042)


# People and animals

_COAT = rounded([
    (0.0, 0.86), (0.07, 0.845), (0.125, 0.80), (0.15, 0.66), (0.162, 0.50), (0.15, 0.44), (0.155, 0.34), (0.17, 0.25),
    (0.05, 0.235), (-0.06, 0.235), (-0.165, 0.255), (-0.15, 0.36), (-0.148, 0.46), (-0.155, 0.53), (-0.14, 0.68),
    (-0.118, 0.80), (-0.065, 0.845),
])  # fmt: skip
_LEGS = [
    (-0.10, 0.28), (-0.085, 0.04), (-0.115, 0.0), (-0.02, 0.0), (-0.012, 0.24), (0.02, 0.24), (0.035, 0.01),
    (0.125, 0.01), (0.085, 0.05), (0.10, 0.28),
]  # fmt: skip
_DRESS = rounded([
    (0.0, 0.74), (0.09, 0.72), (0.15, 0.52), (0.17, 0.47), (0.125, 0.49), (0.20, 0.24), (0.0, 0.215), (-0.20, 0.24),
    (-0.125, 0.49), (-0.17, 0.46), (-0.15, 0.52), (-0.09, 0.72),
])  # fmt: skip
_DEER = rounded([
    (-0.33, 0.52), (-0.2, 0.575), (0.05, 0.55), (0.22, 0.58), (0.27, 0.48), (0.17, 0.37), (-0.05, 0.385),
    (-0.24, 0.37), (-0.34, 0.43),
])  # fmt: skip


_DEER_LEGS = ((0.2, 0.21, 0.2, 0.42), (0.12, 0.15, 0.1, 0.4), (-0.27, -0.31, -0.27, 0.46), (-0.2, -0.26, -0.21, 0.43))
"""Where hip, knee and hoof are across, and how high the hip is."""


def adult(pen: Pen, random: Random) -> None:
    """A person in a long coat, seen from behind."""
    turned = pen.standing(0, 0, 1, flip=random.random() < 0.5)
    turned.polygon(_LEGS)
    turned.polygon(_COAT)
    turned.box(-0.03, 0.9, 0.06, 0.06)
    turned.disc(0, 0.935, 0.052, 0.066)


def child(pen: Pen, random: Random) -> None:
    """A child, seen from behind."""
    for side in (-1, 1):
        pen.stroke([(side * 0.05, 0.26), (side * 0.06, 0)], 0.055, 0.045)
        pen.disc(side * 0.075, 0.012, 0.045, 0.02)
    pen.standing(0, 0, 1, flip=random.random() < 0.5).polygon(_DRESS)
    pen.disc(0, 0.83, 0.098, 0.11)


def pair(pen: Pen, random: Random) -> None:
    """Two people close together."""
    adult(pen.standing(-0.2, 0, 1), random)
    adult(pen.standing(0.19, 0.01, 0.91), random)


def children(pen: Pen, random: Random) -> None:
    """Three children hand in hand."""
    places = [(-0.42, 0.86), (0.0, 0.7), (0.43, 0.95)]
    for x, tall in places:
        child(pen.standing(x, 0, tall), random)
    for (left, tall), (right, other) in pairwise(places):
        hands = [(left + 0.14 * tall, 0.5 * tall), ((left + right) / 2, 0.4), (right - 0.14 * other, 0.5 * other)]
        pen.stroke(hands, 0.045, 0.045)


def crowd(pen: Pen, random: Random) -> None:
    """Many people, side by side."""
    for x in (np.linspace(-1.5, 1.5, 11) + random.uniform(-0.07, 0.07, 11)).tolist():
        if random.random() < 0.8:
            adult(pen.standing(x, random.uniform(-0.03, 0.02), random.uniform(0.82, 1)), random)
        else:
            child(pen.standing(x, 0, 0.6), random)


def deer(pen: Pen, random: Random) -> None:
    """A stag that looks up."""
    pen = pen.standing(0, 0, 1, flip=random.random() < 0.5)
    pen.polygon(_DEER)
    pen.stroke([(0.19, 0.5), (0.27, 0.62), (0.31, 0.76)], 0.18, 0.075)
    pen.stroke([(0.285, 0.785), (0.36, 0.765), (0.44, 0.725)], 0.085, 0.035)
    pen.stroke([(0.3, 0.79), (0.22, 0.82)], 0.04, 0.008)
    for hip, knee, hoof, top in _DEER_LEGS:
        pen.stroke([(hip, top), (knee, 0.2), (hoof, 0)], 0.09, 0.024)
    for back in (0.0, 0.07):
        pen.stroke([(0.3 - back, 0.79), (0.25 - back, 0.9), (0.29 - back, 1.0), (0.37 - back, 1.06)], 0.028, 0.01)
        pen.stroke([(0.255 - back, 0.9), (0.34 - back, 0.93)], 0.02, 0.008)
        pen.stroke([(0.275 - back, 0.97), (0.2 - back, 1.05)], 0.02, 0.008)


def flock(pen: Pen, random: Random) -> None:
    """Birds on the wing, in a loose arrow."""
    for rank in range(13):
        behind, side = (rank + 1) // 2, -1 if rank % 2 else 1
        x, y = (behind * 0.2 + random.normal(0, 0.05)) * side, 1 - behind * 0.13 + random.normal(0, 0.05)
        bird, lift = pen.standing(x, y, random.uniform(0.07, 0.12)), random.uniform(-0.1, 0.75)
        for wing in (-1, 1):
            bird.stroke([(0, 0), (wing * 0.5, (lift + 0.3) * 0.5), (wing, lift * 0.55)], 0.22, 0.03)


# What people built


def house(pen: Pen, random: Random) -> None:
    """A house with a steep roof, a chimney and light in most of its windows."""
    wide, eaves = random.uniform(0.42, 0.62), random.uniform(0.4, 0.5)
    pen.polygon([(-wide, -0.05), (-wide, eaves), (0, 0.9), (wide, eaves), (wide, -0.05)])
    pen.stroke([(-wide - 0.08, eaves - 0.05), (0, 0.93), (wide + 0.08, eaves - 0.05)], 0.05, 0.05)
    pen.box(0.2, 1.0, 0.1, 0.32)
    for column, row in ((-0.55, 0.32), (0.3, 0.32), (-0.12, 0.62)):
        if random.random() < 0.9:
            pen.box(column * wide, row, 0.13, 0.15, shine=random.uniform(0.8, 1))
            pen.box(column * wide + 0.058, row, 0.014, 0.15)


def tower(pen: Pen, random: Random) -> None:
    """A tower with a pointed roof and a light at its top."""
    pen.polygon([(-0.1, -0.03), (-0.07, 0.72), (0.07, 0.72), (0.1, -0.03)])
    pen.box(-0.1, 0.745, 0.2, 0.03)
    pen.box(-0.055, 0.84, 0.11, 0.1)
    pen.box(-0.042, 0.828, 0.084, 0.08, shine=1)
    pen.polygon([(-0.085, 0.83), (0, 1.0), (0.085, 0.83)])
    for high in (0.25, 0.5):
        pen.box(random.uniform(-0.03, 0.0), high, 0.03, 0.05, shine=0.7)


def boat(pen: Pen, random: Random) -> None:
    """A small sailing boat with somebody at the helm."""
    pen = pen.standing(0, 0, 1, flip=random.random() < 0.5)
    pen.box(-0.02, 1.0, 0.035, 0.95)
    pen.polygon(rounded([(0.03, 0.95), (0.16, 0.6), (0.42, 0.24), (0.04, 0.22)]), catch=0.5)
    pen.polygon([(-0.05, 0.8), (-0.4, 0.24), (-0.05, 0.22)], catch=0.3)
    hull = [(-0.62, 0.15), (-0.3, 0.075), (0.1, 0.06), (0.4, 0.09), (0.66, 0.2), (0.5, 0), (0.3, -0.06), (-0.35, -0.06)]
    pen.polygon(rounded([*hull, (-0.53, 0)]))
    pen.disc(-0.25, 0.25, 0.045, 0.055)
    pen.stroke([(-0.25, 0.22), (-0.27, 0.06)], 0.1, 0.16)


def bridge(pen: Pen, random: Random) -> None:
    """A stone bridge of three arches with lamps, wider than the picture."""
    rise = random.uniform(0.25, 0.4)

    def deck(x: float) -> float:
        return max(0.2, 0.75 + rise * (1 - (x / 3.2) ** 2))

    pen.polygon([*((x, deck(x)) for x in np.linspace(-7, 7, 50).tolist()), (7, -0.4), (-7, -0.4)])
    for middle in (-2.1, 0.0, 2.1):
        turns = np.linspace(0, pi, 30).tolist()
        arch = [(middle + 0.86 * cos(turn), (deck(middle) - 0.23) * sin(turn)) for turn in turns]
        pen.polygon([*arch, (middle - 0.86, -0.45), (middle + 0.86, -0.45)], solid=0)
    for x in (-3.0, -1.5, 0.0, 1.5, 3.0):
        lantern(pen.standing(x, deck(x), 0.55), random)


def gate(pen: Pen, random: Random) -> None:
    """A stone gateway with one wing of its iron gate closed."""
    for side in (-0.5, 0.5):
        pen.box(side - 0.1, 0.95, 0.2, 1)
        pen.box(side - 0.14, 1.0, 0.28, 0.06)
        pen.disc(side, 1.07, 0.08, 0.08)
    turns = np.linspace(0.12, pi - 0.12, 16).tolist()
    pen.stroke([(0.46 * cos(turn), 0.9 + 0.36 * sin(turn)) for turn in turns], 0.035, 0.035)
    wing = pen.standing(0, 0, 1, flip=random.random() < 0.5)
    for bar in np.linspace(0.06, 0.38, 6).tolist():
        wing.stroke([(bar, 0), (bar, 1.05 - 0.35 * bar)], 0.016, 0.016)
    for high in (0.1, 0.62):
        wing.stroke([(0, high), (0.4, high)], 0.02, 0.02)


def lantern(pen: Pen, random: Random) -> None:
    """A street lamp."""
    del random
    pen.stroke([(0, -0.02), (0, 0.5), (0, 0.86)], 0.05, 0.028)
    pen.polygon([(-0.05, 0.84), (-0.075, 0.96), (0.075, 0.96), (0.05, 0.84)], shine=1)
    pen.polygon([(-0.1, 0.955), (0, 1.03), (0.1, 0.955)])


def table(pen: Pen, random: Random) -> None:
    """A round table with books and a burning candle."""
    pen.disc(0, 0.62, 0.62, 0.045, catch=0.1)
    pen.stroke([(0, 0.6), (0, 0.3), (0, -0.2)], 0.12, 0.2)
    for book in range(3):
        wide = random.uniform(0.24, 0.32)
        pen.box(0.1 - wide / 2 + random.uniform(-0.03, 0.03), 0.7 + 0.06 * book, wide, 0.052, catch=0.04 * book)
    pen.box(-0.36, 0.83, 0.05, 0.2, catch=0.25)
    pen.polygon(rounded([(-0.335, 0.84), (-0.305, 0.885), (-0.335, 0.97), (-0.36, 0.885)]), shine=1)


SUBJECTS: dict[Subject, tuple[Draw, float]] = {
    Subject.FIGURE: (adult, 0.19),
    Subject.TWO_FIGURES: (pair, 0.19),
    Subject.CHILD: (child, 0.14),
    Subject.CHILDREN: (children, 0.14),
    Subject.CROWD: (crowd, 0.16),
    Subject.HOUSE: (house, 0.22),
    Subject.TREE: (leafy_tree, 0.46),
    Subject.BOAT: (boat, 0.17),
    Subject.BIRDS: (flock, 0.42),
    Subject.TOWER: (tower, 0.44),
    Subject.BRIDGE: (bridge, 0.16),
    Subject.ANIMAL: (deer, 0.2),
    Subject.GATE: (gate, 0.26),
    Subject.LANTERN: (lantern, 0.28),
}
"""How to draw a subject and how high it is, in frame heights."""
