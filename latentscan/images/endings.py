"""Which of the files that lie in folders and archives are images, by their names, and what is passed over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from posixpath import splitext

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".bmp"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".tif", ".tiff"),
)
_LITTER = frozenset(
    (
        *("@eadir", "#recycle", "__macosx", "$recycle.bin", "system volume information", "lost+found"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    )
)
_NOT_READ = (".heic", ".heif")
_MOST_NAMED = 5
_LONGEST_ENDING = 12


@dataclass(frozen=True)
class Rules:
    """Which names are those of images: their endings, and names of files and folders that never are."""

    endings: tuple[str, ...] = EXTENSIONS
    litter: frozenset[str] = _LITTER


RULES = Rules()
# those of stores and trainings that were begun with version 0.1: what they listed stays their rows
FIRST_RULES = Rules((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff"), frozenset())


@dataclass
class Sieve:
    """Takes the images among files by their names, and counts the others.

    Examples
    --------
    >>> sieve = Sieve()
    >>> [name for name in ("1.JPG", "._1.jpg", "notes.txt", "@eaDir/1.jpg") if sieve.takes(name)]
    ['1.JPG']
    >>> sieve.notes
    ('passed over: 1 of other endings (.txt), 2 hidden (._1.jpg, @eaDir)',)
    """

    rules: Rules = RULES
    endings: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)

    def takes(self, path: str) -> bool:
        """Check whether a file is an image by the name, and the folders, that it has."""
        *folders, name = path.split("/")
        return not any(map(self.hides, folders)) and self.takes_name(name)

    def takes_name(self, name: str) -> bool:
        """Check whether a file is an image by its name alone."""
        if self.hides(name):
            return False
        if name.lower().endswith(self.rules.endings):
            return True
        ending = splitext(name)[1].lower()
        is_plain = ending[1:].isalnum() and len(ending) <= _LONGEST_ENDING
        self.endings[ending if is_plain else "none" if not ending else "..."] += 1
        return False

    def hides(self, name: str) -> bool:
        """Check whether a file or a folder is hidden, or one that systems leave behind."""
        if not name.startswith(".") and name.lower() not in self.rules.litter:
            return False
        self.hidden[name if name.isprintable() and len(name) <= 2 * _LONGEST_ENDING else "..."] += 1
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, as a line; no line where that was nothing."""
        parts = [
            f"{count.total():,} {what} ({_named(count)})"
            for count, what in ((self.endings, "of other endings"), (self.hidden, "hidden"))
            if count
        ]
        if not parts:
            return ()
        remedy = (
            "; HEIC cannot be read: convert it to JPEG or PNG"
            if any(map(self.endings.get, _NOT_READ))
            else ""
        )
        return (f"passed over: {', '.join(parts)}{remedy}",)


def _named(count: Counter[str]) -> str:
    names = sorted(count, key=lambda name: (-count[name], name))[:_MOST_NAMED]
    return ", ".join(names + ["..."] * (len(count) > _MOST_NAMED))
