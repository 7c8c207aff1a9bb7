from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from latentscan.models.backend import _without_native_log, versions


def test_keras_comes_up_silently() -> None:
    code = "from latentscan.models.backend import keras; keras.ops.zeros(3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_only_lines_of_the_native_log_are_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with _without_native_log():
        os.write(2, b"I0000 00:00:1795354341.1 port.cc:153] oneDNN custom operations are on.\nmatters\n")
    assert capfd.readouterr().err == "matters\n"


def test_an_error_passes_and_stderr_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with _without_native_log():
            os.write(2, b"before\n")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_versions_name_what_computes() -> None:
    found = versions()
    assert found["keras"] == keras.__version__
    assert found["numpy"] == np.__version__
    assert found["backend"] == keras.backend.backend()
    assert {"latentscan", "python", "tensorflow"} <= set(found)


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    code = """
import hashlib, numpy as np
from latentscan.models.backend import keras
from latentscan.models.loading import compile_fixed
keras.utils.set_random_seed(0)
layer, pixels = keras.layers.Dense(4), np.random.default_rng(0).random((240, 3072), np.float32)
found, = compile_fixed(lambda values: [layer(values)], pixels.shape, "float32")(pixels)
print(hashlib.sha256(found.tobytes()).hexdigest())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
