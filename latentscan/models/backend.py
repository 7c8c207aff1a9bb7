"""The door to Keras: every module of this room imports it from here, so that it comes up quietly."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import UsageError
from latentscan.models.versions import versions as installed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SET_ASIDE", "keras", "versions"]

_NATIVE_LOG = re.compile(rb"[IW]\d{4} \d\d:|WARNING: All log messages before absl::InitializeLog")


@contextmanager
def _without_native_log() -> Iterator[None]:
    """Drop the native log's lines from stderr, and pass every other line on.

    TensorFlow logs to file descriptor 2 while it is imported, before it looks at TF_CPP_MIN_LOG_LEVEL.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # no stderr: nothing to keep quiet
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            log.seek(0)
            for line in log:
                if not _NATIVE_LOG.match(line):
                    os.write(terminal, line)
            os.close(terminal)


def _set_aside() -> tuple[str, ...]:
    """Set what a keras.json of the user's may set otherwise, and return what a user should know of it.

    Networks are made and run here in float32, with the channels last, whatever a tutorial once asked for.
    """
    found = {"floatx": keras.config.floatx(), "image_data_format": keras.config.image_data_format()}
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)
    usual = {"floatx": "float32", "image_data_format": "channels_last"}
    return tuple(
        f"{_settings()}: {name} {value} is set aside; here it is {usual[name]}"
        for name, value in found.items()
        if value != usual[name]
    )


def _settings() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "keras.json")


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow takes oneDNN by itself only on processors with AVX-512. Its own sums depend on the number of
# threads, so that rows of one machine and of its workers differ by rounding; oneDNN's do not.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
_is_ours = "keras" not in sys.modules
try:
    with _without_native_log():
        import keras
except (ImportError, ValueError) as error:
    _variable = os.environ.get("KERAS_BACKEND")
    _said = f"KERAS_BACKEND={_variable}" if _variable else _settings()
    raise UsageError(
        f"Keras cannot start: {' '.join(str(error).split())}; see {_said}: expected the backend tensorflow, "
        "or one that is installed"
    ) from None
SET_ASIDE = _set_aside() if _is_ours else ()
# Its warnings, such as that of several models in one process being traced each, are no news to a user.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


def versions() -> dict[str, str]:
    """Name the versions of what computes: Python, Keras, its backend, NumPy and latentscan."""
    packages = ("latentscan", "keras", "tensorflow", "jax", "torch", "numpy")
    return {"backend": keras.backend.backend(), **installed(*packages)}
