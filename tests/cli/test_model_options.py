from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from latentscan.cli.exit_codes import reported
from latentscan.cli.model_options import from_text, pick, with_options
from latentscan.errors import as_text


class Parameters(BaseModel):
    k: int = Field(default=3, ge=1, description="how many")
    interval: tuple[float, float] = Field(default=(-3.0, 5.0), description="LOW:HIGH")
    filters: tuple[int, ...] = Field(default=(32, 64), description="widths")
    kind: Literal["ae", "vae"] = Field(default="ae", description="which")
    deep: bool = Field(default=False, description="deeper")


def run(*words: str) -> tuple[int, Any, str]:
    got: dict[str, Any] = {}
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @reported
    @with_options(Parameters)
    def command(store: Annotated[str, typer.Option()], *, options: dict[str, Any]) -> None:
        got.update(store=store, parameters=pick(Parameters, options))

    done = CliRunner().invoke(app, ["--store", "z.zarr", *words])
    return done.exit_code, got.get("parameters"), done.output


def test_defaults_are_the_models() -> None:
    assert run()[1] == Parameters()


def test_every_kind_of_option_reaches_the_model() -> None:
    code, found, output = run(
        *("--k", "7", "--interval", "-1.5:2", "--filters", "8,16,32", "--kind", "vae", "--deep")
    )
    assert code == 0, output
    assert found == Parameters(k=7, interval=(-1.5, 2), filters=(8, 16, 32), kind="vae", deep=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--k", "0"), "error: --k 0: expected"),
        (("--interval", "abc"), "error: --interval abc: expected two numbers, LOW:HIGH"),
        (("--filters", "8,x"), "error: --filters 8,x: "),
        (("--kind", "gan"), "error: --kind gan: expected"),
    ],
)
def test_what_the_model_refuses_is_wrong_usage(words: tuple[str, ...], message: str) -> None:
    code, _, output = run(*words)
    assert code == 2
    assert message in output


def test_help_shows_descriptions_and_defaults() -> None:
    code, _, output = run("--help")
    assert code == 0
    for text in ("how many", "-3:5", "32,64", "--deep"):
        assert text in output


def test_defaults_can_be_given_as_they_are_shown() -> None:
    for name, field in Parameters.model_fields.items():
        text = from_text(name, as_text(field.default), field.annotation)
        assert getattr(Parameters.model_validate({name: text}), name) == field.default
