from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from latentscan.report.image_columns import Column
from latentscan.report.paint import NAMED, OTHERS, UNKNOWN, Numbers, paint_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = np.stack(np.meshgrid(np.arange(30.0), np.arange(40.0)), axis=-1).reshape(-1, 2)


def numbers(*values: float) -> Column:
    return Column("age", "", np.array(values))


def categories(codes: NDArray[Any], names: tuple[str, ...]) -> Column:
    return Column("who", "", codes, names)


def drawn(column: Column) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the colour of each point, by its place; what the key says; and what stands on the map."""
    drawing = Figure()
    axes = drawing.subplots()
    points = GRID[: len(column.values)]
    paint = paint_of([column])
    paint.scatter(axes, points, column)
    paint.draw_key(drawing, (0.9, 0.1, 0.1, 0.8))
    drawing.draw_without_rendering()
    colours: dict[Any, str] = {}
    for part in axes.collections:
        places = [tuple(place) for place in np.asarray(part.get_offsets()).tolist()]
        faces = np.resize(np.asarray(part.get_facecolor()), (len(places), 4))
        colours |= {place: to_hex(tuple(face)) for place, face in zip(places, faces.tolist(), strict=True)}
    (legend,) = drawing.legends or (None,)
    key = {}
    if legend is not None:
        handles = zip(legend.get_texts(), legend.legend_handles, strict=True)
        key = {text.get_text(): to_hex(handle.get_color()) for text, handle in handles}  # type: ignore[union-attr]
    return [colours[tuple(place)] for place in points.tolist()], key, [t.get_text() for t in axes.texts]


def lower(*colours: str) -> list[str]:
    return [colour.lower() for colour in colours]


def test_a_category_has_one_colour_and_the_key_says_which() -> None:
    points, key, marks = drawn(categories(np.array([0, 1, 1, -1, 0, 1]), ("no", "yes", "never")))
    no, yes, unknown = lower(NAMED[0], NAMED[1], UNKNOWN)
    assert points == [no, yes, yes, unknown, no, yes]
    assert key == {"no (2)": no, "yes (3)": yes, "unknown (1)": unknown}
    assert marks == []


def test_many_short_names_stand_on_the_map() -> None:
    names = tuple(f"cluster {number}" for number in range(40))
    points, key, marks = drawn(categories(np.repeat(np.arange(40), 30), names))
    assert marks == [str(number) for number in range(40)]
    assert key == {}
    assert points[0] == points[29] != points[30]


def test_of_many_long_names_the_frequent_ones_have_colours() -> None:
    names = tuple(f"person-{number:03}" for number in range(14))
    codes = np.concatenate([np.arange(14), np.repeat(np.arange(4, 14), 2)])
    points, key, marks = drawn(categories(codes, names))
    assert marks == []
    assert [points[at] for at in range(4)] == lower(*[OTHERS] * 4)
    assert len(set(points[4:14])) == 10
    assert key["4 others (4)"] == OTHERS.lower()
    assert "person-004 (3)" in key


def test_several_panels_share_their_colours() -> None:
    first = categories(np.array([1, 1]), ("a", "b"))
    second = categories(np.array([0, 1]), ("b", "c"))
    paint = paint_of([first, second])
    axes = Figure().subplots(1, 2)
    for one, column in zip(axes, (first, second), strict=True):
        paint.scatter(one, GRID[:2], column)
    ours, theirs = (np.asarray(one.collections[0].get_facecolor()) for one in axes)
    assert np.array_equal(ours[0], theirs[0])
    assert not np.array_equal(theirs[0], theirs[1])


def test_numbers_end_at_percentiles_and_the_bar_says_so() -> None:
    found = paint_of([numbers(*range(1000), 1e9, np.nan)])
    assert isinstance(found, Numbers)
    assert (found.extend, found.has_unknown) == ("both", True)
    assert found.norm.vmax is not None
    assert found.norm.vmax < 1000


def test_numbers_that_are_the_same_or_unknown_are_drawn() -> None:
    for values in ((5.0,) * 4, (np.nan,) * 4, (0.0,) * 300 + (1.0,)):
        found = paint_of([numbers(*values)])
        assert isinstance(found, Numbers)
        assert found.extend == "neither"
        points, _, _ = drawn(numbers(*values))
        assert len(points) == len(values)
    assert len(set(points)) == 2  # the one that differs from 300 others is seen
