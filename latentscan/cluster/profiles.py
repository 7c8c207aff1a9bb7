"""Profiles: the clusters that a cluster.yaml names, read and checked, and nothing started yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

FILE = Path("cluster.yaml")
BUILT_IN: dict[str, Any] = {
    "default": "local",
    "profiles": {"local": {"class": "dask.distributed.LocalCluster"}},
}

_SCRIPTS = ("job_script_prologue",)  # the shell on the worker's machine expands its variables
_OF_BOTH = ("security", "resources", "workers_timeout")
_UNSET = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_TAGS = frozenset({"files", "temporary"})

Strict = ConfigDict(frozen=True, extra="forbid")


class Certificates(BaseModel):
    """TLS files in PEM format; one certificate serves client, scheduler and workers."""

    model_config = Strict

    ca_file: str = Field(min_length=1)
    cert: str = Field(min_length=1)
    key: str = Field(min_length=1)
    require_encryption: bool = True


class _Both(BaseModel):
    model_config = Strict

    resources: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    workers_timeout: float = Field(default=45.0, gt=0, allow_inf_nan=False)


class Existing(_Both):
    """A scheduler that runs already: its address, and the TLS files where it wants them."""

    address: str = Field(pattern=r"^(tcp|tls)://[^/\s]+$")
    security: Certificates | None = None


class Adapt(BaseModel):
    """How many workers there are at least and at most."""

    model_config = Strict

    minimum: int = Field(default=1, ge=1)
    maximum: int = Field(ge=1)


def _kind(given: object) -> str:
    return "files" if isinstance(given, dict | Certificates) else "temporary"


Security = Annotated[
    Annotated[Certificates, Tag("files")] | Annotated[Literal[True], Tag("temporary")], Discriminator(_kind)
]


class Started(_Both):  # type: ignore[no-redef] # (mypy's plugin makes `kwargs` of a key that is a keyword)
    """A cluster that is started for the work and closed after it, in dask-ctl's words."""

    model_config = Strict | ConfigDict(coerce_numbers_to_str=True)

    cluster_class: str = Field(alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = Field(default_factory=dict, alias="kwargs")
    scale: int | None = Field(default=None, ge=1)
    adapt: Adapt | None = None
    env: dict[str, str] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    security: Security | None = None


@dataclass(frozen=True)
class Profile:
    """What a profile says, and where it says so, for messages."""

    name: str
    where: str
    settings: Existing | Started


def load_profile(cluster: Path | None, profile: str | None, *, address: str | None = None) -> Profile:
    """Read a profile.

    Parameters
    ----------
    cluster
        A file of profiles; without one, cluster.yaml of the working directory if there is one, else the
        built-in profile `local`.
    profile
        Its name; the one that the file calls default if None.
    address
        Of a scheduler that runs already: the profile tells only its TLS files and workers then.

    Raises
    ------
    UsageError
        If the file or the profile is missing or malformed, or a variable or TLS file that it names is not
        there. Profiles that are not asked for are not looked at.
    """
    path = cluster or (FILE if FILE.is_file() else None)
    content = BUILT_IN if path is None else read_yaml(path)
    source = "the built-in profiles" if path is None else str(path)
    profiles = _profiles(content, source)
    name = profile or content.get("default")
    if name is None:
        raise UsageError(f"{source}: no default: give --profile {_or(profiles)}")
    if name not in profiles:
        wanted = "profile" if profile else "default"
        known = f"{source}: {wanted}: {name!r}: expected one of the profiles: {', '.join(profiles)}"
        raise UsageError(known + ("; name a file with others: --cluster FILE" if path is None else ""))
    where = f"{source}: profile {name}"
    given = profiles[name] if address is None else _at(address, profiles[name])
    return Profile(name, where, _located(_settings(given, where), path, where))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    UsageError
        If it is missing or malformed, or has a key twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{path}: line {key.start_mark.line + 1}: expected a plain word as key")
            if key.value in seen and key.value != "<<":
                raise UsageError(
                    f"{path}: line {key.start_mark.line + 1}: the key {key.value} is there twice"
                )
            seen.add(key.value)
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node, deep=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise UsageError(f"{path}: {line}not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: {_short(content)}: expected keys with values")
    return content


def _profiles(content: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    for key in content:
        if key not in BUILT_IN:
            raise UsageError(f"{source}: {key}: unknown key; expected default and profiles")
    profiles = content.get("profiles")
    if not isinstance(profiles, dict) or not profiles or not all(isinstance(name, str) for name in profiles):
        raise UsageError(f"{source}: profiles: {_short(profiles)}: expected names, each with a profile")
    return profiles


def _at(address: str, given: object) -> object:
    if not isinstance(given, dict):
        return given
    return {"address": address, **{key: given[key] for key in _OF_BOTH if key in given}}


def _settings(given: object, where: str) -> Existing | Started:
    from dask.config import expand_environment_variables

    if not isinstance(given, dict) or ("address" in given) == ("class" in given):
        raise UsageError(f"{where}: {_short(given)}: expected either address: or class:")
    kwargs = given.get("kwargs")
    expanded = expand_environment_variables(given)
    if isinstance(kwargs, dict):
        plain = {str(key).replace("-", "_"): value for key, value in kwargs.items()}
        kept = {key: plain[key] for key in _SCRIPTS if key in plain}
        expanded = {**expanded, "kwargs": {**expand_environment_variables(plain), **kept}}
    for key, text in (("address", expanded.get("address")), *_files(expanded.get("security"))):
        if isinstance(text, str) and (unset := _UNSET.search(text)):
            name = unset[1] or unset[2]
            raise UsageError(
                f"{where}: {key}: {text}: set the environment variable {name}, or write the value"
            )
    model = Existing if "address" in given else Started
    try:
        settings = model.model_validate(expanded)
    except ValidationError as error:
        raise UsageError(f"{where}: {_complaint(error.errors()[0], model)}") from None
    if isinstance(settings, Started) and settings.adapt is not None:
        if settings.scale is not None:
            raise UsageError(f"{where}: scale: {settings.scale}: expected either scale or adapt, not both")
        if settings.adapt.maximum < settings.adapt.minimum:
            raise UsageError(
                f"{where}: adapt.maximum: {settings.adapt.maximum}: expected at least the minimum, "
                f"{settings.adapt.minimum}"
            )
    return settings


def _located(settings: Existing | Started, path: Path | None, where: str) -> Existing | Started:
    """Find the TLS files, named relative to the file that names them."""
    if not isinstance(settings.security, Certificates):
        return settings
    folder = path.parent if path else Path()
    found = {}
    for key, text in _files(settings.security.model_dump()):
        file = folder / Path(text).expanduser()
        if not file.is_file():
            raise UsageError(f"{where}: {key}: {file}: there is no such file; expected a PEM file")
        found[key.removeprefix("security.")] = str(file.absolute())
    return settings.model_copy(update={"security": settings.security.model_copy(update=found)})


def _files(security: object) -> list[tuple[str, Any]]:
    named = security if isinstance(security, dict) else {}
    return [(f"security.{key}", named[key]) for key in ("ca_file", "cert", "key") if key in named]


def _complaint(problem: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part not in _TAGS)
    if problem["type"] == "missing":
        return f"{key}: missing"
    if problem["type"] == "extra_forbidden":
        known = (field.alias or name for name, field in model.model_fields.items())
        return f"{key}: unknown key" + (f"; expected {_or(known)}" if "." not in key else "")
    message = problem["msg"]
    if key == "address":
        message = "expected tcp://HOST:PORT or tls://HOST:PORT"
    elif key == "security":
        message = f"expected {'true, or ' if model is Started else ''}ca_file, cert and key"
    elif key == "class":
        message = "expected a class with its module, such as dask.distributed.LocalCluster"
    return f"{key}: {_short(problem['input'])}: {message[0].lower()}{message[1:]}"


def _or(names: Any) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else str(last)


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
