"""What decoders say of damaged images on stderr: nothing, as the reason of a rejection says it once."""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
from functools import cache

from PIL import _imaging

from latentscan.errors import DEBUG


@cache
def quieten_decoders() -> None:
    """Silence Pillow and its libtiff for the rest of this process, unless it is debugged.

    Every way is one that they offer for this: a filter of Python's warnings for Pillow's modules alone, a
    handler for its logger (records still reach the handlers of an application), and libtiff's own setting,
    which is found where Pillow is linked to it. Descriptors of this process stay as they are: progress of
    other threads is written to them meanwhile.
    """
    if os.environ.get(DEBUG):
        return
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        linked = ctypes.CDLL(_imaging.__file__)
        handlers = (linked.TIFFSetErrorHandler, linked.TIFFSetWarningHandler)
    except (AttributeError, OSError, TypeError):  # a Pillow without libtiff, or with a hidden one
        return
    for set_handler in handlers:
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)
