"""Composes a room: a window, somebody or something before or behind it, a table, curtains."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded.brush import smooth
from downstream.providers.embedded.colour import mix
from downstream.providers.embedded.elements import birds, clouds, mist, rays, sky, weather
from downstream.providers.embedded.film import Life
from downstream.providers.embedded.fringes import along, foot
from downstream.providers.embedded.silhouettes import leafy_tree, table
from downstream.providers.embedded.vocabulary import Subject

if TYPE_CHECKING:
    from downstream.providers.embedded.brush import Array, Pen, Random
    from downstream.providers.embedded.painter import Line, Painter

_OUTSIDE = {Subject.BIRDS, Subject.HOUSE, Subject.TREE, Subject.BOAT, Subject.TOWER, Subject.BRIDGE, Subject.GATE}


def interior(painter: Painter) -> None:
    """A room at a tall window, and what is to be seen through it."""
    sky(painter, 0.72)
    clouds(painter, 0.5)
    painter.ridge(12, painter.hills(0.6, 0.05, 0.6))
    mist(painter, 11, 0.62, 0.05, 0.5)
    middle = painter.light.x / 2
    painter.subject_x = middle + painter.side * 0.1
    painter.ridge(7, painter.hills(0.68, 0.02, 0.5), lambda pen, random, line: _outside(painter, pen, random, line))
    birds(painter)
    weather(painter)
    painter.cut(2.2, lambda pen, random: _window_wall(painter, pen, random, middle))
    rays(painter, 2, 0.16)
    table_x = middle - painter.side * 0.52
    painter.cut(1.5, lambda pen, random: table(pen.standing(table_x, 1.02, 0.42), random))
    for side in (-1, 1):
        _curtain(painter, middle + side * 0.47, side)


def _outside(painter: Painter, pen: Pen, random: Random, line: Line) -> None:
    along(leafy_tree, 12, (0.12, 0.3), light_x=painter.light.x, gap=0.12)(pen, random, line)
    if painter.recipe.subject in _OUTSIDE - {Subject.BIRDS}:
        painter.subject(pen, random, foot(line, painter.subject_x))


def _window_wall(painter: Painter, pen: Pen, random: Random, middle: float) -> None:
    """A dark wall with a tall arched window, and the subject in front of it."""
    wide, top, sill = 0.4, 0.2, 0.76
    pen.box(pen.sheet.left, pen.sheet.top, 9, 9)
    for grow, solid, catch in ((0.035, 1, 0.3), (0.025, 1, 0.08), (0.0, 0, 0.0)):
        turns = np.linspace(0, pi, 40).tolist()
        arch = [(middle + (wide + grow) * cos(turn), top - (0.17 + grow) * sin(turn)) for turn in turns]
        pen.polygon([*arch, (middle - wide - grow, sill), (middle + wide + grow, sill)], solid=solid, catch=catch)
    for part in (-0.5, 0.0, 0.5):
        pen.box(middle + part * wide - 0.005, top - 0.2, 0.01, sill - top + 0.2)
    for y in (0.2, 0.39, 0.58):
        pen.box(middle - wide, y, 2 * wide, 0.008)
    pen.box(middle - wide - 0.06, sill, 2 * wide + 0.12, 0.022, catch=0.6)
    pen.box(pen.sheet.left, 0.93, 9, 0.012, catch=0.12)
    if painter.recipe.subject not in _OUTSIDE:
        small = painter.recipe.subject in (Subject.CHILD, Subject.CHILDREN)
        painter.subject(pen, random, 0.97, 2.8 if small else 2.2)


def _curtain(painter: Painter, x: float, side: int) -> None:
    """Lays a thin curtain that hangs on that side of a window."""
    sheet = painter.sheet(1.9)
    across = (sheet.x - x) * side + 0.12 * smooth(0.75, 0.1, sheet.y) - 0.02 * np.sin(sheet.y * 9)
    folds: Array = np.sin(across * 95 + sheet.y * 1.5) / 2 + 0.5
    alpha = smooth(0, 0.008, across) * smooth(0.3, 0.27, across) * (0.62 + folds * 0.3) * smooth(0.95, 0.93, sheet.y)
    bright = mix(painter.light.haze, painter.light.glow, 0.3)
    colour = mix(painter.light.shade, bright, folds * 0.22 * smooth(0.3, 0, across) + 0.06)
    painter.add(sheet, colour, alpha, 1.9, grain=1.6, life=Life((0.006 * side, 0), period=6))
