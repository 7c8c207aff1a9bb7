"""Mutations of a file's content: what a bad disk, a bad transfer or an attacker makes of it."""

from __future__ import annotations

import random

MOST_SPLICED = 64  # bytes
TELLING = (  # what parsers treat in a way of its own
    *(
        b"\0",
        b"\xff",
        b"\x7f",
        b"\n",
        b"\r",
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"}",
        b":",
        b",",
        b"&a",
        b"*a",
        b"!!",
    ),
    *(
        b"-1",
        b"0",
        b"9" * 30,
        b"1e999",
        b"nan",
        b"..",
        b"/",
        b"\xff\xff\xff\xff",
        b"\xef\xbb\xbf",
        b"\x1b[2J",
    ),
)


def mutated(content: bytes, seed: str) -> bytes:
    """Return what one to three mutations, decided by a seed, make of a content.

    Examples
    --------
    >>> mutated(b"latents", "7") == mutated(b"latents", "7") != b"latents"
    True
    """
    chance, found = random.Random(seed), bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(_MUTATIONS)(found, chance)
    return bytes(found)


def _flip(content: bytearray, chance: random.Random) -> None:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _replace(content: bytearray, chance: random.Random) -> None:
    if content:
        content[chance.randrange(len(content))] = chance.randrange(256)


def _truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _remove(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    del content[at : at + chance.randrange(1, MOST_SPLICED)]


def _insert(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    content[at:at] = chance.choice((*TELLING, chance.randbytes(chance.randrange(1, MOST_SPLICED))))


def _splice(content: bytearray, chance: random.Random) -> None:
    """Copy a piece to another place, over what is there or before it."""
    start, at = (chance.randrange(len(content) + 1) for _ in range(2))
    piece = content[start : start + chance.randrange(1, MOST_SPLICED)]
    content[at : at + (len(piece) if chance.random() < 0.5 else 0)] = piece


def _head(content: bytearray, chance: random.Random) -> None:
    """Change a byte of the first ones, where formats say what follows."""
    if content:
        content[chance.randrange(min(len(content), MOST_SPLICED))] = chance.choice((0, 1, 127, 128, 255))


_MUTATIONS = (_flip, _replace, _truncate, _remove, _insert, _splice, _head, _head)
