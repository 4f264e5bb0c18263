"""What stands on a line of land: trees, houses, walls, a path, flowers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from downstream.providers.embedded.brush import Pen, Point, Random
    from downstream.providers.embedded.painter import Fringe, Line
    from downstream.providers.embedded.silhouettes import Draw


def foot(line: Line, x: float) -> float:
    """The height of the land at ``x``."""
    return line(np.array([x])).item()


def along(draw: Draw, count: int, size: Point, *, light_x: float = 0, gap: float = -1) -> Fringe:
    """``count`` shapes on the line, none within ``gap`` of the light's column and smaller beside it."""

    def fringe(pen: Pen, random: Random, line: Line) -> None:
        for x in np.sort(random.uniform(pen.sheet.left, pen.sheet.right, count)).tolist():
            apart = abs(x - light_x) - gap
            if apart > 0:
                grown = random.uniform(*size) * (0.6 + 0.4 * min(1.0, apart / 0.3))
                draw(pen.standing(x, foot(line, x) + random.uniform(0, 0.02), grown), random)

    return fringe


def tufts(pen: Pen, random: Random, line: Line) -> None:
    """Grass on the line and, larger and darker towards the viewer, below it."""
    xs = random.uniform(pen.sheet.left, pen.sheet.right, 260)
    for x, y, down in zip(xs.tolist(), line(xs).tolist(), np.sort(random.random(260)).tolist(), strict=True):
        tall, low = random.uniform(0.006, 0.026), y + 0.01 + 0.3 * down**1.5
        pen.stroke([(x, y + 0.004), (x + random.normal(0.1, 0.3) * tall, y - tall)], 0.003, 0.001)
        blade = [(x, low), (x + 0.004, low - 0.006 - 0.03 * down)]
        pen.stroke(blade, 0.002 + 0.003 * down, 0.001, catch=0.16 * (1 - down))


def path(light_x: float, side: int) -> Fringe:
    """A pale path that winds from the line down to the viewer."""

    def fringe(pen: Pen, random: Random, line: Line) -> None:
        start, phase = foot(line, light_x) - 0.012, random.uniform(0, 6)
        away = np.linspace(0, 24, 90)
        near = 1 / (1 + away)
        y = start + (1.16 - start) * near
        middle = light_x * (1 - near) + side * np.sin(away * 0.9 + phase) * near * (1 - near) * 0.85
        edges = [np.stack([middle + edge * 0.34 * near, y], axis=1)[::edge] for edge in (-1, 1)]
        pen.polygon([(x, y) for x, y in np.concatenate(edges).tolist()], catch=0.42)

    return fringe


def wall(pen: Pen, random: Random, line: Line) -> None:
    """An old garden wall with posts."""
    y = foot(line, 0)
    for x in np.arange(pen.sheet.left, pen.sheet.right, 0.3).tolist():
        pen.box(x, y - 0.1, 0.31, 0.2)
        pen.box(x, y - 0.108, 0.31, 0.008, catch=0.35)
        pen.box(x - 0.02, y - 0.13, 0.04, 0.2)
        pen.disc(x, y - 0.14, 0.016, 0.016)
    for x in random.uniform(pen.sheet.left, pen.sheet.right, 500).tolist():
        pen.box(x, y - random.uniform(-0.06, 0.09), 0.012, 0.004, catch=random.uniform(0.02, 0.1))


def flowers(pen: Pen, random: Random, line: Line) -> None:
    """A meadow in flower below the line."""
    for down in np.sort(random.random(420) ** 1.4).tolist():
        x, size = random.uniform(pen.sheet.left, pen.sheet.right), 0.0012 + down * 0.0045
        shine = random.uniform(0.4, 0.9) if random.random() < 0.6 else 0.0
        catch = 0.0 if shine else random.uniform(0.3, 0.9)
        pen.disc(x, foot(line, x) + 0.01 + down * 0.22, size, size * 0.7, shine=shine, catch=catch)


def facades(high: float, lights: float, *, light_x: float, gap: float) -> Fringe:
    """A row of houses, wall to wall, open within ``gap`` of the light's column; that part of the windows is lit."""

    def fringe(pen: Pen, random: Random, line: Line) -> None:
        x = pen.sheet.left
        while x < pen.sheet.right:
            size = high * random.uniform(0.45, 1)
            wide = size * random.uniform(0.24, 0.46)
            if abs(x + wide / 2 - light_x) > gap + wide / 2:
                _facade(pen, random, (x, foot(line, x)), wide, size, lights)
            x += wide

    return fringe


def _facade(pen: Pen, random: Random, corner: Point, wide: float, size: float, lights: float) -> None:
    x, y = corner
    top, middle = y - size, x + wide / 2
    pen.box(x, top, wide + 0.002, size + 0.3)
    match random.integers(5):
        case 0 | 1:
            pen.polygon([(x - 0.006, top), (middle, top - wide * random.uniform(0.4, 0.9)), (x + wide + 0.006, top)])
        case 2:
            pen.disc(middle, top, wide * 0.36, wide * 0.36)
            pen.stroke([(middle, top - wide * 0.3), (middle, top - wide * 0.8)], 0.008, 0.002)
        case _:
            pen.box(x - 0.006, top - 0.006, wide + 0.012, 0.01, catch=0.15)
            pen.box(x + wide * random.uniform(0.1, 0.7), top - wide * 0.3, wide * 0.12, wide * 0.32)
    panes = int(random.integers(3, 6))
    pane = wide / (panes * 2 + 1)
    for row in np.arange(top + pane * 1.5, y - pane, pane * 3.0).tolist():
        for column in range(panes):
            shine = random.uniform(0.45, 1) if random.random() < lights else 0.0
            pen.box(x + pane * (2 * column + 1), row, pane, pane * 1.6, shine=shine, catch=0.05)
