"""latentscan in Python: ``import latentscan as ls; store = ls.open("z.zarr"); ls.stats(store)``.

Every analysis is a function of a store and of the parameters that its command has; it returns a Dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from latentscan.analyses.pca import PCA
from latentscan.analyses.projection import Projection
from latentscan.analyses.registry import ANALYSES
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import LatentStore, open_store
from latentscan.store.schema import DEFAULT_CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Unpack

    import xarray
    from matplotlib.figure import Figure

    from latentscan.analyses.functions import Options
    from latentscan.analyses.registry import *  # noqa: F403 (the functions of all analyses)
    from latentscan.encoding.parameters import EncodeKeywords
    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.report.page.view import View
    from latentscan.scan.rejects import Summary
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.schema import Compression

    Several = list[str] | list[Path] | tuple[str | Path, ...]

OWN = ("LatentStore", "ThreadedExecutor", "connect", "encode", "ingest", "open", "plot", "project", "view")
if not TYPE_CHECKING:  # type checkers read the declarations instead: they do not evaluate such a list
    __all__ = [*OWN, *ANALYSES]  # noqa: PLE0604 (they are names)


def __getattr__(name: str) -> Any:
    """Return the function of an analysis, which is imported when it is first used."""
    if name not in ANALYSES:
        raise AttributeError(name)
    return ANALYSES.function(name)


def open(location: str) -> LatentStore:  # noqa: A001 (called ls.open)
    """Open a store; its `mu`, `logvar` and `z` are read when they are indexed.

    Raises
    ------
    StoreError
        If there is none at `location`, or its metadata is damaged.
    """
    return open_store(location)


@overload
def encode(
    model: str | Path,
    images: str | Path,
    store: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | bool = True,
    **parameters: Unpack[EncodeKeywords],
) -> Summary: ...


@overload
def encode(
    model: Several,
    images: str | Path,
    store: Several,
    *,
    executor: Executor | None = None,
    progress: Progress | bool = True,
    **parameters: Unpack[EncodeKeywords],
) -> list[Summary]: ...


def encode(
    model: str | Path | Several,
    images: str | Path,
    store: str | Path | Several,
    *,
    executor: Executor | None = None,
    progress: Progress | bool = True,
    **parameters: Unpack[EncodeKeywords],
) -> Summary | list[Summary]:
    """Write `mu`, `logvar` and `z` of every image into a store, or what is missing of them.

    Parameters
    ----------
    model
        A run folder, or a model file; of several, images are read and decoded once for all.
    images
        A folder of images, CelebA's folder, a list of paths, archives, tables, or an array of images.
    store
        The store to write, or to complete; as many as models.
    executor
        Where blocks are encoded: the threads of this process by default, or a cluster.
    progress
        Whether progress is shown on stderr; or a subscriber to it.
    **parameters
        The fields of `EncodeParameters`, as the command has them.

    Returns
    -------
    How many images were written, and which were rejected; of several models, for each.

    Raises
    ------
    UsageError
        If the model or the images do not exist, or what is asked for does not fit the encoder or the store.
    StoreError
        If the store is damaged.
    """
    from contextlib import nullcontext

    from pydantic import ValidationError

    from latentscan.encoding.encode import encode_all
    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.errors import parameter_error
    from latentscan.progress import as_progress

    try:
        asked = EncodeParameters.model_validate(parameters)
    except ValidationError as error:
        raise parameter_error(error, dict(parameters)) from None
    found = encode_all(
        _each(model),
        str(images),
        _each(store),
        asked,
        open_executor=lambda: nullcontext(executor or ThreadedExecutor()),
        progress=as_progress(progress),
    )
    return found[0] if isinstance(model, str | Path) else found


def _each(given: str | Path | Several) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) else [str(one) for one in given]


def ingest(
    store: str | Path,
    *,
    z: str | Path,
    mu: str | Path | None = None,
    logvar: str | Path | None = None,
    paths: str | Path | None = None,
    attributes: str | Path | None = None,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    executor: Executor | None = None,
    progress: Progress | bool = True,
) -> Summary:
    """Write latents that were made elsewhere into a store, or what is missing of them.

    Parameters
    ----------
    store
        The store to write, or to complete.
    z, mu, logvar
        Arrays of numbers, (images, components) or of more axes, in .npy, .npz, .safetensors, .pt, .h5,
        .h5ad, .parquet or .csv files or in Zarr folders; a key behind a colon names one of several, as in
        ``a.npz:latents``.
    paths
        A .txt or .csv list of the paths of the images, a row each.
    attributes
        A table of what is known of the images: a column has their paths, or rows are in their order.
    chunk_rows
        Images of a block: what is written, committed and resumed as one.
    compression
        Of the chunks; pays off on a slow network only.
    executor
        Where blocks are written: the threads of this process by default, or a cluster.
    progress
        Whether progress is shown on stderr; or a subscriber to it.

    Raises
    ------
    UsageError
        If the files do not fit each other, or the store was begun with others.
    UnsafeInputError
        If a file could run code when it is loaded.
    """
    from latentscan.encoding.ingest import ingest as ingest_files
    from latentscan.errors import ParameterError
    from latentscan.progress import as_progress

    files = {"z": z, "mu": mu, "logvar": logvar}
    given = {name: file for name, file in files.items() if file is not None}
    for name, file in given.items():
        if not isinstance(file, str | Path):
            raise ParameterError("expected the path of a file", field=name, value=type(file).__name__)
    return ingest_files(
        given,
        str(store),
        paths=None if paths is None else str(paths),
        attributes=None if attributes is None else str(attributes),
        chunk_rows=chunk_rows,
        compression=compression,
        executor=executor or ThreadedExecutor(),
        progress=as_progress(progress),
    )


def plot(result: xarray.Dataset, *, colour: str | None = None, store: LatentStore | None = None) -> Figure:
    """Plot what an analysis returned, as its command does with ``--plot``.

    Parameters
    ----------
    result
        A Dataset that a function of an analysis returned, or that was read from a store.
    colour
        What the images on a map are coloured by: ``radius``, ``split``, ``cluster`` (of the newest cached
        `kmeans`, of the k that it suggests), ``cluster:K``, or an attribute; their radii if None.
    store
        The store of the images, which knows all of these but the radius.

    Raises
    ------
    UsageError
        If it is no result of an analysis, or its figure cannot be coloured so.
    """
    from latentscan.errors import ParameterError, UsageError, shown
    from latentscan.report.colouring import Colouring, as_coloured
    from latentscan.report.style import as_shown_by_notebooks, literal
    from latentscan.report.views import view_of
    from latentscan.store.results import Result

    name = getattr(result, "attrs", {}).get("analysis")
    if not isinstance(name, str) or name not in ANALYSES:
        raise UsageError(f"expected a Dataset that an analysis returned, got {shown(result)}")
    view, found = view_of(name), Result.from_dataset(result)
    if colour is None:
        return as_shown_by_notebooks(literal(view.figure({name: found})))
    points = as_coloured(view)
    if points is None:
        raise ParameterError(f"a figure of {name} has no point for each image", field="colour", value=colour)
    colouring = Colouring(colour, None, name) if store is None else Colouring.at(colour, store.location)
    drawing = literal(points.coloured({name: found}, {name: colouring.of(found)}))
    return as_shown_by_notebooks(drawing)


def view(
    *stores: LatentStore,
    images: str | Path | None = None,
    root: str | Path | None = None,
    results: str | None = None,
    models: Sequence[str | Path] = (),
    height: int = 900,
    progress: Progress | bool = True,
) -> View:
    """Show what is cached of stores in a cell of a notebook: the page that ``latentscan report`` writes.

    Parameters
    ----------
    stores
        The stores, of the same images.
    images, root
        The images that they are of, for thumbnails, and the folder that a list's paths are relative to.
    results
        Where results are cached; each store itself if None.
    models
        The run folder, or the decoder, of each store in their order.
    height
        Of the cell, pixels.
    progress
        Hears of the work; True shows it on stderr.

    Raises
    ------
    StoreError
        If a store is incomplete or damaged.
    UsageError
        If the images or models are not those of the stores, or there is no store.
    """
    from tempfile import TemporaryDirectory

    from latentscan.errors import UsageError
    from latentscan.execution.context import Execution
    from latentscan.progress import as_progress
    from latentscan.report.page.render import write_report
    from latentscan.report.page.view import View

    if not stores:
        raise UsageError("expected one store or more to view, got none")
    with TemporaryDirectory() as folder:
        written = write_report(
            [store.location for store in stores],
            Path(folder) / "page.html",
            images=None if images is None else str(images),
            root=None if root is None else str(root),
            results=results,
            models=[Path(model) for model in models],
            execution=Execution(progress=as_progress(progress)),
        )
        return View(written.page.read_text(encoding="utf-8"), height)


def connect(
    profile: str | None = None,
    *,
    scheduler: str | None = None,
    file: Path | None = None,
    insecure: bool = False,
    trust_cluster: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> AbstractContextManager[DistributedExecutor]:
    """Reach or start a cluster: ``with ls.connect("slurm") as executor: ls.stats(store, executor=executor)``.

    Parameters
    ----------
    profile
        A profile of ``cluster.yaml``; the default one if None.
    scheduler
        The address of a scheduler that runs already.
    file
        Where the profiles are; ``cluster.yaml`` of the current directory if None.
    insecure
        Whether you vouch for a network on which traffic is not encrypted.
    trust_cluster
        Whether you vouch for the file of profiles: it may run code then.
    say
        Called with where the cluster is, and what is waited for.

    Raises
    ------
    UsageError
        If the profile is wrong, or the address is unsafe.
    ClusterError
        If the cluster cannot be reached or started, or no worker comes in time.
    """
    from latentscan.cluster.connect import connect as reach

    return reach(
        scheduler=scheduler,
        cluster=file,
        profile=profile,
        insecure=insecure,
        say=say,
        trust_cluster=trust_cluster,
    )


def project(
    store: LatentStore, *, first: int | None = None, array: PointsChoice = "auto", **options: Unpack[Options]
) -> Projection:
    """Return the points in the frame of the first principal axes; they are computed when they are indexed.

    Parameters
    ----------
    store
        The store.
    first
        How many axes; all if None.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        As of `pca`, which is computed where it is not cached.

    Raises
    ------
    UsageError
        If there are fewer axes than asked for.
    """
    from latentscan.analyses.functions import evaluate

    return Projection(store, evaluate(PCA, {"store": store}, {"array": array}, options), first)
