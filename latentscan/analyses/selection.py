"""The images behind a number: rows chosen by what an analysis found, with the figure that chose them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cached_models import best_centres, newest_result
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.outliers import OUTLIERS
from latentscan.analyses.outliers.analysis import RECONSTRUCTION
from latentscan.analyses.outliers.exact import nearest_among_all
from latentscan.analyses.outliers.parameters import OutliersParameters
from latentscan.errors import ParameterError, UsageError, command, parameter, shown
from latentscan.kernels.far_out import Nearest
from latentscan.kernels.nearest import nearest
from latentscan.kernels.reduction import Counts, LatentBlock, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import paths_of, require_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.cache import Cache
    from latentscan.analyses.inputs import OneStore
    from latentscan.scan.rows import PointsChoice
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result

Figure = Literal["radius", "mahalanobis", "neighbour_distance", "density", "score", "reconstruction_excess"]
FIGURES: tuple[str, ...] = get_args(Figure)


@dataclass(frozen=True)
class Selection:
    """Images that were chosen.

    Parameters
    ----------
    title
        What they are.
    images
        Their rows, (image,).
    paths
        Their paths, (image,).
    figures
        What they were chosen by, each (image,), by name.
    total
        How many there are of the kind; more than are listed where these are the first.
    """

    title: str
    images: NDArray[np.int64]
    paths: NDArray[Any]
    figures: dict[str, NDArray[Any]]
    total: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        columns = {"image": self.images.tolist(), "path": self.paths.tolist()}
        columns |= {name: values.tolist() for name, values in self.figures.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {"selection": self.title, "total": self.total, "images": rows}


@dataclass(frozen=True)
class Chooser:
    """Chooses images of a store.

    Parameters
    ----------
    inputs
        The store.
    cache
        Where results are read or computed.
    count
        How many images at most.
    array
        The points that distances are of.
    """

    inputs: OneStore
    cache: Cache
    count: int
    array: PointsChoice = "auto"

    @property
    def snapshot(self) -> Snapshot:
        """The store."""
        return self.inputs.snapshot

    def rows(self, texts: Sequence[str]) -> Selection:
        """Choose rows by their numbers; ``5:9`` are those from 5 to 9.

        Raises
        ------
        UsageError
            If a text is no row of the store.
        """
        images: list[int] = []
        for text in texts:
            first, _, last = text.partition(":")
            numbers = [self._row(part, text) for part in (first, last or first)]
            images += range(numbers[0], numbers[1] + 1)
            if numbers[0] > numbers[1] or len(images) > self.count:
                raise UsageError(
                    f"{shown(text)}: expected FIRST:LAST ascending, and {self.count:,} rows at most, "
                    f"as {parameter('count')} says"
                )
        return self._selection("rows " + " ".join(texts), np.array(images, np.int64), {}, len(images))

    def outliers(self) -> Selection:
        """Choose the images that lie farthest out or most alone."""
        result = self._figures()
        beyond = int(result["beyond"][result["list"].tolist().index("score")])
        title = f"outliers, {beyond:,} beyond what chance explains"
        return self._extreme(title, result, "score", sign=-1, others=("mahalanobis", "density"))

    def extreme(self, figure: str, *, largest: bool) -> Selection:
        """Choose the images with the largest or the smallest figure.

        Raises
        ------
        ParameterError
            If there is no such figure.
        UsageError
            If it is one of model and images, and not cached.
        """
        end = "largest" if largest else "smallest"
        if figure not in FIGURES:
            raise ParameterError(f"expected one of {', '.join(FIGURES)}", field=end, value=figure)
        title = f"{end} {figure.replace('_', ' ')}"
        result = self._reconstructed() if figure == RECONSTRUCTION else self._figures()
        return self._extreme(title, result, figure, sign=-1 if largest else 1, others=())

    def duplicates(self) -> Selection:
        """Choose the groups of near-duplicates, the largest first."""
        result = self._figures()
        images = result["duplicate_image"]
        figures = {
            "group": result["duplicate_group"][: self.count],
            "distance": result["duplicate_distance"][: self.count],
        }
        return self._selection("near-duplicates", images[: self.count], figures, len(images))

    def nearest(self, row: int) -> Selection:
        """Choose an image and those that are nearest to it, among all.

        Raises
        ------
        UsageError
            If it is no row of the store, or holds no latents.
        """
        self._row(str(row), str(row))
        block = row // self.snapshot.schema.chunk_rows
        status = self.snapshot.read_block(block, ("status",))["status"]
        if status[row - self.snapshot.schema.rows(block).start]:
            raise UsageError(f"row {row} was rejected and holds no latents; name another one")
        require_points(self.snapshot.store, self.array)
        parameters = OutliersParameters(array=self.array)
        points = parameters.points_of(self.snapshot.schema)
        found = nearest_among_all(
            self.snapshot, points, np.array([row]), max(self.count - 1, 1), self.cache.execution
        )
        held = np.isfinite(found.squares[0])
        images = np.concatenate([[row], found.images[0][held]])
        distances = np.concatenate([[0.0], np.sqrt(found.squares[0][held])])
        return self._selection(f"nearest to row {row}", images, {"distance": distances}, len(images))

    def cluster(self, k: int, number: int) -> Selection:
        """Choose the images of a cluster that are nearest to its centre, by the best cached model of a k.

        Raises
        ------
        UsageError
            If no k-means of that k is cached, or it has no such cluster.
        """
        location = self.cache.policy.results or self.inputs.home
        array, centres = best_centres(location, self.snapshot, k, self.array)
        if not 0 <= number < k:
            raise ParameterError(
                f"expected a cluster from 0 to {k - 1}", field="cluster", value=f"{k}:{number}"
            )

        def chunk(block: LatentBlock) -> tuple[Nearest, Counts]:
            rows = block.latents[array]
            which, squares = nearest(centres, rows, 1) if len(rows) else (np.empty((0, 1)), np.empty((0, 1)))
            own = np.flatnonzero(which[:, 0] == number)
            order = own[np.argsort(squares[own, 0], kind="stable")[: self.count]]
            images, apart = np.full((1, self.count), -1), np.full((1, self.count), np.inf)
            images[0, : len(order)], apart[0, : len(order)] = block.images[order], squares[order, 0]
            return Nearest(images, apart), Counts(len(own), 0)

        reduction: Reduction[tuple[Nearest, Counts], tuple[Nearest, Counts]] = Reduction(
            (array,), chunk, lambda one, other: (one[0].merge(other[0]), one[1].merge(other[1]))
        )
        found, counts = reduce_store(self.snapshot, reduction, self.cache.execution, label="cluster")
        held = np.isfinite(found.squares[0])
        figures = {"distance": np.sqrt(found.squares[0][held])}
        return self._selection(f"cluster {number} of {k}", found.images[0][held], figures, counts.good)

    def attribute(self, text: str) -> Selection:
        """Choose the images that have an attribute, ``NAME``, or a value of it, ``NAME=VALUE``.

        Raises
        ------
        UsageError
            If the store knows no such attribute, or none of its values is that.
        """
        store = self.snapshot.store
        name, _, wanted = (text, "", "") if self._is_label(text) else text.partition("=")
        kind, _ = store.schema.place_of(name)
        if kind == "binary":
            value: Any = {"": 1, "1": 1, "-1": -1, "0": -1}.get(wanted)
        else:
            value = wanted if kind == "text" else _number(wanted)
        if value is None or (kind != "binary" and not wanted):
            raise ParameterError(
                f"{name} is {'binary' if kind == 'binary' else f'a {kind}'}; expected "
                f"{'NAME or NAME=-1' if kind == 'binary' else 'NAME=VALUE'}",
                field="attribute",
                value=text,
            )
        images = np.flatnonzero(store.read_attribute(name) == value)
        return self._selection(f"attribute {text}", images[: self.count], {}, len(images))

    def _is_label(self, text: str) -> bool:
        return any(text in labels for labels in self.snapshot.schema.labelled.values())

    def _row(self, text: str, whole: str) -> int:
        images = self.snapshot.schema.images
        if not text.isdecimal() or int(text) >= images:
            raise UsageError(f"{shown(whole)}: expected rows from 0 to {images - 1}")
        return int(text)

    def _figures(self) -> Result:
        request = Request(OUTLIERS, OutliersParameters(array=self.array))
        return self.cache.result(request, StoreAndOrigins.unnamed(self.snapshot))

    def _reconstructed(self) -> Result:
        location = self.cache.policy.results or self.inputs.home
        found = newest_result(location, OUTLIERS.name, self.snapshot.content, RECONSTRUCTION)
        if found is None:
            remedy = command("outliers", store=self.inputs.home, model="RUN", images="IMAGES")
            raise UsageError(f"no reconstruction loss of the images is cached; compute it first: {remedy}")
        return found

    def _extreme(
        self, title: str, result: Result, figure: str, *, sign: int, others: Sequence[str]
    ) -> Selection:
        values = sign * result[figure]
        known = np.flatnonzero(np.isfinite(values))
        order = known[np.argsort(values[known], kind="stable")[: self.count]]
        figures = {name: result[name][order] for name in (figure, *others)}
        return self._selection(title, order, figures, len(known))

    def _selection(
        self, title: str, images: NDArray[np.int64], figures: dict[str, NDArray[Any]], total: int
    ) -> Selection:
        return Selection(title, images, paths_of(self.snapshot, images), figures, total)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
