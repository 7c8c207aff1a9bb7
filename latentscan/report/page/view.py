"""A page in a cell of a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True)
class View:
    """A page that a notebook shows in a frame of its own.

    Parameters
    ----------
    page
        The HTML document.
    height
        Of the frame, pixels.
    """

    page: str = field(repr=False)
    height: int

    def _repr_html_(self) -> str:
        """Return the frame, with the page as its attribute.

        Examples
        --------
        >>> View("<p>", 300)._repr_html_()[:27]
        '<iframe srcdoc="&lt;p&gt;" '
        """
        style = f"width: 100%; height: {self.height}px; border: 0"
        return f'<iframe srcdoc="{escape(self.page)}" style="{style}" title="latentscan"></iframe>'
