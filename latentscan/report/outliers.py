"""Outliers and near-duplicates: ranked with paths, beside what a Gaussian cloud would have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from latentscan.report.format import finite, image_name, number, path_end
from latentscan.report.section import Images, Section
from latentscan.report.style import COLOURS, series_colours
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

RECONSTRUCTION = "reconstruction_excess"  # the list of the images that the model makes worst
RANKED = 12  # images in the table
GROUPS = 6  # of near-duplicates in the table
MEMBERS = 4  # of a group that are named there
GROUPS_SHOWN = 12  # with their images
MARKED = 12  # images that the figure rings
MANY = 0.01  # of the images beyond a limit: the tails are heavy, and few of them stand out
NONE = 0.005  # expected pairs: fewer are called none
RING = np.array([0.014, 0.016])  # half the width and the height of a ring, in shares of the axes
LETTER, LINE = 0.0185, 0.045  # width of a letter and height of a line, likewise
POINTS = 20_000  # drawn one by one; more are drawn as density
_HEAD = ("images", "unwritten", "rejected", "components", "array", "nearest", "sampled", "search_recall")
_NAMES = {
    "mahalanobis": "Mahalanobis distance",
    "neighbour_distance": "distance to neighbour {k}",
    "density": "local density",
    "largest_radius": "largest radius",
    "smallest_radius": "smallest radius",
    RECONSTRUCTION: "reconstruction loss",
}
_CHANCE = "than chance explains in a Gaussian cloud of this covariance"
_FIGURES = ("score", "radius", "mahalanobis")


_LEAD = "Images that lie far out or alone, with the limits that chance rarely passes, and near-duplicates."
_READING = {
    "Mahalanobis distance": "how far out an image lies in the frame of the cloud; a Gaussian cloud of as "
    "many images has one beyond the limit with a probability of 1 %.",
    "local density": "as a share of that around the nearest images: small for an image that lies alone.",
    "reconstruction loss": "of the image made again, above the floor that its grey sets; its limit is of "
    "a log-normal distribution with the same quartiles.",
    "near-duplicates": "images closer together than a small share of the usual distance between neighbours, "
    "within which chance hardly has a pair.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `outliers` as a JSON document, without the figures of other images."""
    attributes = result.attributes
    figures = zip(result["list"].tolist(), range(len(result["list"])), strict=True)
    return {
        **{name: attributes[name] for name in _HEAD},
        "noticed": noticed(result),
        "figures": {
            name: {
                "expected": finite(result["expected"][at]),
                "limit": finite(result["limit"][at]),
                "beyond": int(result["beyond"][at]),
                "listed": [
                    {"image": image, "path": path, "value": finite(value)}
                    for image, path, value in zip(
                        result["listed_image"][at].tolist(),
                        result["listed_image_path"][at].tolist(),
                        result["listed"][at].tolist(),
                        strict=True,
                    )
                    if image >= 0
                ],
            }
            for name, at in figures
        },
        "shown": [_shown(result, position) for position in range(len(result["shown_image"]))],
        "duplicates": {
            "within": attributes["duplicate_distance"],
            "share": attributes["duplicate_share"],
            "images": attributes["duplicate_images"],
            "pairs_expected": attributes["duplicates_expected"],
            "dimension": attributes["dimension"],
            "searched": attributes["duplicates_searched"],
            "not_compared": attributes["duplicates_not_compared"],
            "groups": [
                [
                    {"image": image, "path": path, "distance": distance}
                    for image, path, distance in zip(
                        *(
                            result[name][start:stop].tolist()
                            for name in ("duplicate_image", "duplicate_image_path", "duplicate_distance")
                        ),
                        strict=True,
                    )
                ]
                for start, stop in _group_ranges(result)
            ],
        },
    }


def noticed(result: Result) -> list[str]:
    """Return what the figures say, a sentence each, with what chance would have."""
    return [_said_of_outliers(result), *_said_of_reconstruction(result), _said_of_duplicates(result)]


def section(results: Mapping[str, Result]) -> Section:
    """Return which images stand out, and which are nearly the same, with what chance would have."""
    verdicts = tuple(
        f"{name}: {sentence}" for name, result in results.items() for sentence in noticed(result)
    )
    images = tuple(one for name, result in results.items() for one in _images(name, result))
    return Section("Outliers and near-duplicates", _LEAD, verdicts, reading=_READING, images=images)


def _images(name: str, result: Result) -> Iterator[Images]:
    """Yield the images that stand out, those that have near-duplicates, and the head of each list, folded."""
    for at, listed in enumerate(result["list"].tolist()):
        if listed == "score" and (beyond := int(result["beyond"][at])):
            first = min(beyond, len(result["listed_image"][at]))
            title = "image" if beyond == 1 else "images" if first == beyond else f"images, the first {first}"
            rows, notes = _head(result, at, first)
            yield Images(name, f"outliers, {beyond:,} {title}", rows, tuple(f"score {one}" for one in notes))
    yield from _duplicates(name, result)
    for at, listed in enumerate(result["list"].tolist()):
        if listed != "score":
            rows, notes = _head(result, at, RANKED)
            yield Images(name, _title_of_list(result, at), rows, notes, folded=True)


def _head(result: Result, at: int, count: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the first rows of a list, and their figures."""
    rows, values = result["listed_image"][at][:count], result["listed"][at][:count]
    held = rows >= 0
    return tuple(rows[held].tolist()), tuple(map(number, values[held].tolist()))


def _title_of_list(result: Result, at: int) -> str:
    listed, limit, beyond = str(result["list"][at]), float(result["limit"][at]), int(result["beyond"][at])
    title = _NAMES.get(listed, listed).format(k=result.attributes["nearest"])
    if not np.isfinite(limit):
        return title
    return f"{title}, {f'{beyond:,}' if beyond else 'none'} beyond the limit of {number(limit)}"


def _duplicates(name: str, result: Result) -> Iterator[Images]:
    """Yield some images of the first groups of near-duplicates."""
    ranges = _group_ranges(result)
    shown = ranges[:GROUPS_SHOWN]
    if not shown:
        return
    chosen = np.concatenate([np.arange(start, min(stop, start + MEMBERS)) for start, stop in shown])
    groups = tuple((result["duplicate_group"][chosen] + 1).tolist())
    several = "1 group" if len(ranges) == 1 else f"{len(ranges):,} groups"
    title = f"near-duplicates, {several}" + (f", the first {len(shown)}" if len(shown) < len(ranges) else "")
    rows = tuple(result["duplicate_image"][chosen].tolist())
    yield Images(name, title, rows, tuple(f"group {group}" for group in groups), groups)


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange for each store what stands out: the sentences, the ranked images, and the groups."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        attributes = result.attributes
        good = attributes["images"] - attributes["rejected"]
        among = "all" if attributes["sampled"] == good else f"a sample of {attributes['sampled']:,}"
        head = f"{name}: {attributes['array']} of {good:,} images, neighbours among {among}"
        parts += [Text(head, style="bold cyan"), *map(Text, noticed(result)), Text()]
        parts += [_chance_table(result), Text(), _ranked_table(result), Text()]
        if len(result["duplicate_image"]):
            parts += [_duplicate_table(result), Text()]
    return Group(*parts[:-1])


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot Mahalanobis distances and distances to neighbours with their limits, and the tail of the former.

    A row for each store; the images with the highest scores are ringed, and named by their rows.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 4.4 * len(results)), layout="constrained")
    rows = drawing.subplots(len(results), 2, squeeze=False)
    for (name, result), colour, row in zip(results.items(), series_colours(), rows, strict=False):
        _draw_images(row[0], result, colour)
        _draw_tail(row[1], result, colour)
        row[0].set_title(f"{name}: {noticed(result)[0]}", loc="left", fontsize="small", wrap=True)
        for axes in row:
            axes.spines[["top", "right"]].set_visible(False)
    return drawing


def _shown(result: Result, position: int) -> dict[str, Any]:
    image = int(result["shown_image"][position])
    return {
        "image": image,
        "path": str(result["shown_image_path"][position]),
        **{name: finite(result[name][image]) for name in _FIGURES},
        "neighbour_distance": finite(result["shown_neighbour_distance"][position]),
        "density": finite(result["shown_density"][position]),
        "nearest": {
            "image": int(result["shown_nearest_image"][position]),
            "path": str(result["shown_nearest_image_path"][position]),
        },
    }


def _said_of_outliers(result: Result) -> str:
    good = result.attributes["images"] - result.attributes["rejected"]
    beyond = int(result["beyond"][0])
    if not beyond:
        return f"No image lies farther out, or more alone, {_CHANCE}."
    images = "1 image lies" if beyond == 1 else f"{beyond:,} images lie"
    said = f"{images} farther out, or more alone, {_CHANCE}"
    if beyond > MANY * good and beyond > 1:
        return (
            f"{said}: {100 * beyond / good:.1f} %, so its tails are heavier; only the first ranks stand out."
        )
    first = f"row {image_name(result['listed_image'][0, 0], result['listed_image_path'][0, 0])}"
    return f"{said}; the first is {first}."


def _said_of_reconstruction(result: Result) -> list[str]:
    if RECONSTRUCTION not in result:
        return []
    at = result["list"].tolist().index(RECONSTRUCTION)
    beyond, known = int(result["beyond"][at]), int(np.count_nonzero(~np.isnan(result[RECONSTRUCTION])))
    if not known:
        return ["No image could be read, so none is compared with what the model makes of it."]
    than = "than a log-normal spread of the losses explains"
    if not beyond:
        return [f"No image is made again worse {than}."]
    are = "1 image is" if beyond == 1 else f"{beyond:,} images are"
    first = f"row {image_name(result['listed_image'][at, 0], result['listed_image_path'][at, 0])}"
    return [f"{are} made again worse {than}; the first is {first}."]


def _said_of_duplicates(result: Result) -> str:
    attributes = result.attributes
    groups, images = attributes["duplicate_groups"], attributes["duplicate_images"]
    expected, share = attributes["duplicates_expected"], attributes["duplicates_searched"]
    within = f"within a distance of {number(attributes['duplicate_distance'])}"
    if of_typical := 100 * attributes["duplicate_share"]:
        within += f", {number(of_typical)} % of that to neighbour {attributes['nearest']}"
    chance = "" if expected is None else f" ({_pairs(expected)} expected by chance)"
    part = "" if share == 1 else f", in a random {100 * share:.3g} % of the cells that were searched"
    if not images:
        return f"No near-duplicates {within}{chance}{part}."
    more = attributes["duplicates_not_compared"]
    left = f"; {more:,} crowded images were not compared with all" if more else ""
    are = "group" if groups == 1 else "groups"
    return f"{images:,} images are near-duplicates, in {groups:,} {are}, {within}{chance}{part}{left}."


def _pairs(expected: float) -> str:
    return "none" if expected < NONE else f"{number(expected)} pairs"


def _chance_table(result: Result) -> Table:
    plain = _plain_table("figure", "found", "expected", "limit", "beyond", "row", "image")
    for at, name in enumerate(result["list"].tolist()):
        if name in _NAMES and (result["listed_image"][at, :1] >= 0).any():
            plain.add_row(
                _NAMES[name].format(k=result.attributes["nearest"]),
                number(finite(result["listed"][at, 0])),
                number(finite(result["expected"][at])),
                number(finite(result["limit"][at])),
                f"{result['beyond'][at]:,}",
                str(result["listed_image"][at, 0]),
                path_end(result["listed_image_path"][at, 0], 16),
            )
    return plain


def _ranked_table(result: Result) -> Table:
    k = result.attributes["nearest"]
    ranked = _plain_table("row", "score", "Mahal.", f"to {k}th", "density", "image", "nearest image", left=5)
    at = {image: position for position, image in enumerate(result["shown_image"].tolist())}
    for image in result["listed_image"][0, :RANKED].tolist():
        position = at[image]
        ranked.add_row(
            str(image),
            number(finite(result["score"][image])),
            number(finite(result["mahalanobis"][image])),
            number(finite(result["shown_neighbour_distance"][position])),
            number(finite(result["shown_density"][position])),
            path_end(result["shown_image_path"][position], 18),
            path_end(result["shown_nearest_image_path"][position], 18),
        )
    return ranked


def _duplicate_table(result: Result) -> RenderableType:
    from rich.table import Table

    groups = Table(box=None, header_style="bold", pad_edge=False)
    groups.add_column("near-duplicates", justify="right", no_wrap=True)
    groups.add_column("rows and images", overflow="fold")
    ranges = _group_ranges(result)
    for start, stop in ranges[:GROUPS]:
        named = [
            f"{image} {one_line(path)}"
            for image, path in zip(
                result["duplicate_image"][start : min(stop, start + MEMBERS)].tolist(),
                result["duplicate_image_path"][start:stop].tolist(),
                strict=False,
            )
        ]
        more = f" and {stop - start - MEMBERS:,} more" if stop - start > MEMBERS else ""
        groups.add_row(f"{stop - start:,} images", ", ".join(named) + more)
    if len(ranges) > GROUPS:
        groups.add_row("...", f"{len(ranges) - GROUPS:,} more groups; the JSON document has all")
    return groups


def _plain_table(*titles: str, left: int = 0) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False)
    for at, title in enumerate(titles):
        is_text = title == "figure" or at >= (left or len(titles) - 1)
        plain.add_column(title, justify="left" if is_text else "right", no_wrap=True)
    return plain


def _group_ranges(result: Result) -> list[tuple[int, int]]:
    """Return where each group begins and ends."""
    groups = result["duplicate_group"]
    if not len(groups):
        return []
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(groups)], strict=True))


def _draw_images(axes: Axes, result: Result, colour: str) -> None:
    x, y = result["mahalanobis"], result["neighbour_distance"]
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(good) <= POINTS:
        axes.plot(x[good], y[good], ".", color=colour, markersize=3, alpha=0.5, rasterized=True)
    else:
        axes.hexbin(x[good], y[good], gridsize=60, bins="log", cmap="Greys", mincnt=1)
    ringed = result["listed_image"][0, :MARKED]
    beyond = ringed[result["score"][ringed] > 1]
    axes.plot(x[beyond], y[beyond], "o", color=COLOURS[1], fillstyle="none", markersize=8)
    limits = dict(zip(result["list"].tolist(), result["limit"].tolist(), strict=True))
    style: dict[str, Any] = {"color": "0.4", "linewidth": 1, "linestyle": "--"}
    if np.isfinite(limits["mahalanobis"]):
        axes.axvline(limits["mahalanobis"], label="limit of a Gaussian cloud", **style)
    if np.isfinite(limits["neighbour_distance"]):
        axes.axhline(limits["neighbour_distance"], **style)
    for values, scale in ((x[good], axes.set_xscale), (y[good], axes.set_yscale)):
        if _is_wide(values):
            scale("log")
    axes.margins(y=0.1)
    _name_apart(axes, [(image, float(x[image]), float(y[image])) for image in beyond.tolist()])
    axes.set_xlabel("Mahalanobis distance from the mean")
    axes.set_ylabel(f"distance to neighbour {result.attributes['nearest']}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def _name_apart(axes: Axes, images: list[tuple[int, float, float]]) -> None:
    """Write the rows of images beside their rings, where there is room among rings and other rows."""
    to_axes = axes.transData + axes.transAxes.inverted()
    rings = [np.asarray(to_axes.transform((x, y))) for _, x, y in images]
    taken = [_Box(*(at - RING), *(at + RING)) for at in rings]
    for (image, *_), at in zip(images, rings, strict=True):
        text = f"row {image}"
        width, height = LETTER * len(text), LINE
        for right, up in ((-1, 1), (1, 1), (-1, -1), (1, -1), (-1, 0), (1, 0)):
            left = at[0] + right * RING[0] - (width if right < 0 else 0)
            below = at[1] + up * (RING[1] + height / 2) - height / 2
            box = _Box(left, below, left + width, below + height)
            if box.is_inside and not any(box.overlaps(other) for other in taken):
                axes.text(
                    left if right > 0 else left + width,
                    below + height / 2,
                    text,
                    transform=axes.transAxes,
                    fontsize="small",
                    color=COLOURS[1],
                    ha="left" if right > 0 else "right",
                    va="center",
                )
                taken.append(box)
                break


class _Box(NamedTuple):
    """A rectangle, in shares of the axes."""

    left: float
    below: float
    right: float
    above: float

    @property
    def is_inside(self) -> bool:
        return min(self) >= 0 and max(self) <= 1

    def overlaps(self, other: _Box) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.above <= other.below or other.above <= self.below)


def _draw_tail(axes: Axes, result: Result, colour: str) -> None:
    """Draw how many images are beyond each Mahalanobis distance, and how many Gaussian ones would be."""
    values = np.sort(result["mahalanobis"][np.isfinite(result["mahalanobis"])])[::-1]
    counts = np.arange(1, len(values) + 1)
    some = np.unique(np.geomspace(1, max(len(values), 1), 400).astype(int)) - 1
    axes.step(values[some], counts[some], where="pre", color=colour, linewidth=1.6, label="images")
    expected = result["gaussian_mahalanobis"]
    axes.plot(expected, result["gaussian_beyond"], "--", color="0.4", linewidth=1.2, label="Gaussian cloud")
    axes.set_yscale("log")
    if _is_wide(values):
        axes.set_xscale("log")
    axes.set_xlabel("Mahalanobis distance from the mean")
    axes.set_ylabel("images that lie farther out")
    axes.legend(frameon=False, fontsize="small")


def _is_wide(values: NDArray[np.floating]) -> bool:
    """Return whether a few values are so large that the others would be drawn on one another."""
    held = values[values > 0]
    return bool(len(held) and held.max() > 30 * np.median(held))
