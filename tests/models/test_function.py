from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.encoder import Encoder, load_encoder
from latentscan.models.outputs import named_outputs
from latentscan.models.packing import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 8
ASKED = {"size": SIDE}
MATRIX = "w = np.linspace(-1, 1, 192 * 3).reshape(192, 3).astype(np.float32)\n"
FLAT = "    flat = pixels.reshape(len(pixels), -1)\n"


def written(path: Path, body: str, *, before: str = "") -> Path:
    path.write_text(f"import numpy as np\n{MATRIX}{before}\ndef encode(pixels):\n{FLAT}    {body}\n")
    return path.with_name(f"{path.name}:encode")


def loaded(model: Path, **options: Any) -> Encoder:
    encoder = load_encoder(model, trust=True, asked=ASKED, **options)
    return encoder.with_preprocessing(Preprocessing.model_validate(ASKED))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (50, SIDE, SIDE, 3), np.uint8)


def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    matrix = np.linspace(-1, 1, 192 * 3).reshape(192, 3)
    return pixels.reshape(len(pixels), -1) / 255 @ matrix


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("return flat @ w", ("z",)),
        ("return {'mu': flat @ w, 'logvar': -(flat @ w)}", ("mu", "logvar")),
        ("return named(flat @ w, -(flat @ w))", ("mu", "logvar")),
        ("return (flat.astype(np.float64) @ w).reshape(-1, 1, 3)", ("z",)),
    ],
)
def test_arrays_dictionaries_and_named_tuples_are_taken(
    tmp_path: Path, pixels: NDArray[np.uint8], body: str, outputs: tuple[str, ...]
) -> None:
    before = "from collections import namedtuple\nnamed = namedtuple('named', 'mean log_var')\n"
    encoder = loaded(written(tmp_path / "my.py", body, before=before))
    assert (encoder.outputs, encoder.components) == (outputs, 3)
    assert encoder.sha256 == sha256(tmp_path / "my.py")
    found = encoder(pixels)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found[outputs[0]], expected(pixels), atol=1e-4)
    np.testing.assert_array_equal(encoder(pixels[::-1])[outputs[0]][::-1], found[outputs[0]])
    np.testing.assert_array_equal(encoder(pixels[3:4])[outputs[0]], found[outputs[0]][3:4])


def test_a_function_may_change_its_pixels(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    encoder = loaded(written(tmp_path / "my.py", "flat *= 2; return flat @ w"))
    np.testing.assert_allclose(encoder(pixels)["z"], 2 * expected(pixels), atol=1e-4)


def test_numbers_beyond_float32_are_infinite_without_a_warning(
    tmp_path: Path, pixels: NDArray[np.uint8]
) -> None:
    body = "return np.full((len(flat), 2), 1e300 if flat.max() > 0 else 1.0)"
    assert np.isinf(loaded(written(tmp_path / "my.py", body))(pixels)["z"]).all()


def test_tensors_of_pytorch_are_taken(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    assert torch
    before = "import torch\nmodel = torch.nn.Linear(192, 4).eval()\n"
    body = "out = model(torch.from_numpy(flat)); return {'mu': out, 'logvar': out.bfloat16()}"
    found = loaded(written(tmp_path / "my.py", body, before=before))(pixels)
    np.testing.assert_allclose(found["logvar"], found["mu"], rtol=0.01, atol=0.01)


def test_nothing_is_run_without_trust(tmp_path: Path) -> None:
    model = written(tmp_path / "my.py", "return flat", before="raise SystemExit('it was run')")
    with pytest.raises(UnsafeInputError, match=r"my\.py: is a Python file, .* repeat with trust_model=True"):
        load_encoder(model)
    with pytest.raises(UsageError, match=r"my\.py: line 3: SystemExit: it was run"):
        load_encoder(model, trust=True)


def test_the_file_goes_to_other_processes_and_is_run_once_by_each(
    tmp_path: Path, pixels: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    before = "import sys; from pathlib import Path\nprint(Path(__file__).name, 'was run', file=sys.stderr)\n"
    encoder = loaded(written(tmp_path / "my.py", "return flat @ w", before=before))
    sent, own = pickle.dumps(encoder), encoder(pixels)["z"]
    loaded(tmp_path / "my.py:encode")
    (tmp_path / "my.py").unlink()
    np.testing.assert_array_equal(pickle.loads(sent)(pixels)["z"], own)  # noqa: S301
    assert capfd.readouterr().err.count("my.py was run") == 1
    assert not [path for path in sys.path if path == str(tmp_path)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return flat @ w, flat @ w", r"expected an array .*, got a tuple of 2, whose order says nothing"),
        ("return (flat @ w).sum(axis=1)", r"expected an array .*, got z \(4,\) float32 for 4 images"),
        ("return (flat @ w)[:1]", r"expected an array .*, got z \(1, 3\) float32 for 4 images"),
        ("return None", r"expected an array"),
        ("return np.array([['a']] * len(flat))", r"expected an array .*, got z \(4, 1\) <U1"),
        ("return flat @ w[:7]", r"my\.py: line 6: ValueError: .*; it was called with pixels \(4, 8, 8, 3\)"),
        ("return flat @ w + np.random.default_rng().random()", "its output z is random, or depends on"),
        ("return flat @ w - (flat @ w).mean(axis=0)", "its output z is random, or depends on"),
        ("return pixels", "has the shape of its images"),
        ("return {'a': flat @ w, 'b': flat @ w}", r"cannot be seen from their names, a \(n, 3\), b"),
        ("return flat @", r"my\.py: line 6: SyntaxError"),
    ],
)
def test_what_is_no_encoder_is_refused(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loaded(written(tmp_path / "my.py", body))


def test_the_function_is_named(tmp_path: Path) -> None:
    written(tmp_path / "my.py", "return flat")
    with pytest.raises(ParameterError, match=r"my\.py: has no function other; expected FILE\.py:FUNCTION"):
        load_encoder(tmp_path / "my.py:other", trust=True)
    (tmp_path / "model.py").write_text("class Model:\n    pass\n")
    with pytest.raises(ParameterError, match=r"Model is a class; expected a function of pixels"):
        load_encoder(tmp_path / "model.py:Model", trust=True)
    with pytest.raises(ParameterError, match=r"FILE\.py:FUNCTION"):
        load_encoder(tmp_path / "my.py", trust=True)
    with pytest.raises(ParameterError, match=r"none\.py: is no file; expected FILE\.py:FUNCTION"):
        load_encoder(tmp_path / "none.py:encode", trust=True)


def test_outputs_can_be_named_otherwise(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    model = written(tmp_path / "my.py", "return {'a': flat @ w, 'b': 1 + flat @ w}")
    found = loaded(model, outputs=named_outputs("mu=b,logvar=a"))(pixels)
    np.testing.assert_allclose(found["mu"], 1 + found["logvar"], rtol=1e-4, atol=1e-4)
