"""What requests of an analysis cost, with all that they require and that is not cached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latentscan.analyses.cache import first_of
from latentscan.scan.cost import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latentscan.analyses.analysis import Request, Setting

Stores = tuple[str, ...]
"""Locations of the stores that a request is of."""


@dataclass
class Estimate:
    """Adds up what is computed; what one request computes, later ones find cached.

    Parameters
    ----------
    is_cached
        Whether the result of a request is cached, given what it is of.
    """

    is_cached: Callable[[Request, Stores], bool]
    _done: set[tuple[Request, Stores]] = field(default_factory=set)

    def cost(self, requests: Sequence[Request], stores: Stores, setting: Setting) -> Cost:
        """Return what is to be computed for requests of one analysis, and count it as done from now on.

        Parameters
        ----------
        requests
            One, or several that are computed together.
        stores
            What they are of.
        setting
            The schemas of the stores, and how many tasks run at once.
        """
        missing = self._missing([one.of_stores(setting.schemas) for one in requests], stores)
        missing += self._missing(first_of(missing), stores)
        if not missing:
            return Cost()
        analysis = missing[0].analysis
        total = analysis.cost_of(setting, [one.parameters for one in missing])
        for required in self._required(missing):
            together = [one for one in self._required(missing) if one.analysis is required.analysis]
            if analysis.narrows(required.analysis):
                for store, own in zip(stores, setting.of_each_store(), strict=True):
                    total += self.cost(together, (store,), own)
            else:
                total += self.cost(together, stores, setting)
        return total

    def _required(self, requests: Sequence[Request]) -> list[Request]:
        found = [one for request in requests for one in request.analysis.requires(request.parameters)]
        return list(dict.fromkeys(found))

    def _missing(self, requests: Sequence[Request], stores: Stores) -> list[Request]:
        """Return the requests that are neither cached nor done; they are done from now on."""
        missing = [
            one
            for one in dict.fromkeys(requests)
            if (one, stores) not in self._done and not self.is_cached(one, stores)
        ]
        self._done |= {(one, stores) for one in requests}
        return missing
