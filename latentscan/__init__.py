"""What an autoencoder did with its latent space, on the whole data set."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentscan.api import *  # noqa: F403 (what editors and type checkers know of it)

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return what `latentscan.api` offers, which is imported when it is first used."""
    if name.startswith("_") or name == "api":
        raise AttributeError(name)
    api = import_module("latentscan.api")
    if name not in api.__all__:
        raise AttributeError(f"latentscan has no {name!r}; it offers {', '.join(api.__all__)}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return ["__version__", *import_module("latentscan.api").__all__]
