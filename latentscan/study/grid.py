"""What is trained: five kinds of models, several seeds of each, and the sizes of the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEEDS = 5  # of each kind; no two runs of the grid share one, and so first weights


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Parameters
    ----------
    name
        In names of runs and stores.
    words
        What it is called in sentences.
    trained
        The parameters of the training by which it differs.
    """

    name: str
    words: str
    trained: Mapping[str, Any]


KINDS = (
    Kind("ae", "AE", {"kind": "ae"}),
    Kind("ae-bn", "AE with batch normalization", {"kind": "ae", "batch_norm": True}),
    Kind("tiny", "VAE, KL times 1e-5", {"kind": "vae", "fact": 1e-5}),
    Kind(
        "tiny-bn",
        "VAE, KL times 1e-5, with batch normalization",
        {"kind": "vae", "fact": 1e-5, "batch_norm": True},
    ),
    Kind("fact5", "VAE, KL times 5", {"kind": "vae", "fact": 5.0}),
)


@dataclass(frozen=True)
class Size:
    """How large the study is.

    Parameters
    ----------
    name
        What it is called.
    images
        How many faces.
    side
        Of an image, pixels.
    trained
        Parameters of every training.
    analyses
        Parameters of the analyses of each store, by name; what is not named has its defaults.
    kinds
        The kinds of models.
    """

    name: str
    images: int
    side: int
    trained: Mapping[str, Any]
    analyses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = KINDS

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared."""
        return Preprocessing(size=self.side)

    @property
    def epochs(self) -> int:
        """Of each training."""
        return int(self.trained["epochs"])


SMALL = Size(
    "small",
    images=5000,
    side=64,
    trained={
        "z_dim": 64,
        "filters": (16, 32, 64, 128),
        "epochs": 8,
        "batch_size": 32,
        "learning_rate": 1e-3,
    },
    analyses={"kmeans": {"k": range(2, 41, 2)}, "tsne": {"points": 5000}},
)
FULL = Size(
    "full",
    images=170_000,
    side=96,
    trained={"z_dim": 256, "epochs": 24},
    analyses={"kmeans": {"k": range(2, 81, 2)}, "tsne": {"points": 20_000}},
)


@dataclass(frozen=True)
class Run:
    """A training of the grid.

    Parameters
    ----------
    kind
        Of which kind it is.
    number
        Its number among those of its kind, from 0.
    seed
        Its seed.
    """

    kind: Kind
    number: int
    seed: int

    @property
    def name(self) -> str:
        """That of its folder, and of its store without the ending."""
        return f"{self.kind.name}-{self.number}"

    def parameters(self, size: Size) -> TrainParameters:
        """Return the parameters of its training."""
        return TrainParameters.model_validate({**size.trained, **self.kind.trained, "seed": self.seed})


def runs_of(size: Size, seeds: int = SEEDS) -> Iterator[Run]:
    """Return the runs of the grid, the first seed of every kind first, so that something can be seen early.

    Examples
    --------
    >>> [run.name for run in runs_of(SMALL, 2)][4:7]
    ['fact5-0', 'ae-1', 'ae-bn-1']
    >>> len({run.seed for run in runs_of(FULL, 5)})
    25
    """
    for number in range(seeds):
        for at, kind in enumerate(size.kinds):
            yield Run(kind, number, seed=100 * at + number)
