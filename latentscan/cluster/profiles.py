"""Profiles: the clusters that a cluster.yaml describes, read and validated; nothing is started."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from latentscan.cluster.trust import require_known, require_own
from latentscan.cluster.yaml_file import read_yaml
from latentscan.errors import Problem, UsageError, parameter, problems_of, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


FILE = Path("cluster.yaml")
MOST_WORKERS = 100_000
MOST_PATIENCE_S = 30 * 86_400.0
BUILT_IN: dict[str, Any] = {
    "default": "local",
    "profiles": {"local": {"class": "dask.distributed.LocalCluster"}},
}

_SCRIPTS = ("job_script_prologue",)  # the shell on the worker's machine expands its variables
_COMMON_KEYS = ("security", "resources", "workers_timeout")
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


class _Common(BaseModel):
    model_config = Strict

    resources: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    workers_timeout: float = Field(default=45.0, gt=0, le=MOST_PATIENCE_S)


class SchedulerAddress(_Common):
    """A scheduler that runs already: its address, and its TLS files where it needs them."""

    address: str = Field(pattern=r"^(tcp|tls)://[^/\s]+$")
    security: Certificates | None = None


class Adapt(BaseModel):
    """The least and the greatest number of workers of an adaptive cluster."""

    model_config = Strict

    minimum: int = Field(default=1, ge=1, le=MOST_WORKERS)
    maximum: int = Field(ge=1, le=MOST_WORKERS)


def _kind(given: object) -> str:
    return "files" if isinstance(given, dict | Certificates) else "temporary"


Security = Annotated[
    Annotated[Certificates, Tag("files")] | Annotated[Literal[True], Tag("temporary")], Discriminator(_kind)
]


class ClusterSpec(_Common):  # type: ignore[no-redef] # (mypy's plugin makes `kwargs` of a key that is a keyword)
    """How to start a cluster, which is closed after the work; the keys are those of dask-ctl."""

    model_config = Strict | ConfigDict(coerce_numbers_to_str=True)

    cluster_class: str = Field(alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = Field(default_factory=dict, alias="kwargs")
    scale: int | None = Field(default=None, ge=1, le=MOST_WORKERS)
    adapt: Adapt | None = None
    env: dict[str, str] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    security: Security | None = None


Settings: TypeAlias = SchedulerAddress | ClusterSpec


@dataclass(frozen=True)
class Profile:
    """A profile.

    Parameters
    ----------
    name
        Its name in the file.
    where
        File and profile, for messages.
    settings
        Where its scheduler is, or how to start its cluster.
    """

    name: str
    where: str
    settings: Settings


def load_profile(
    cluster: Path | None, profile: str | None, *, address: str | None = None, trust: bool = False
) -> Profile:
    """Read a profile.

    Parameters
    ----------
    cluster
        A file of profiles; if None, cluster.yaml of the working directory, or the built-in profile `local`
        where that does not exist.
    profile
        Its name; the file's default if None.
    address
        Of a scheduler that runs already: only TLS files, resources and patience are the profile's then.
    trust
        Whether the user vouches for the file: it may run code then, and others may be able to write it.

    Raises
    ------
    UsageError
        If the file or the profile is missing or malformed, or a variable or TLS file that it names does not
        exist. Other profiles of the file are not validated.
    UnsafeInputError
        If others can write the file, or the profile would run code that it does not openly name.
    """
    path = cluster or (FILE if FILE.is_file() else None)
    check = _trusted if trust else require_own
    content = BUILT_IN if path is None else read_yaml(path, "a file of profiles", check=check)
    source = "the built-in profiles" if path is None else str(path)
    profiles = _profiles(content, source)
    name = profile or content.get("default")
    if name is None:
        raise UsageError(f"{source}: no default: give {parameter('profile', _or(profiles))}")
    if name not in profiles:
        wanted = "profile" if profile else "default"
        known = f"{source}: {wanted}: {name!r}: expected one of the profiles: {', '.join(profiles)}"
        other_file = f"; name a file with others: {parameter('cluster', 'FILE')}"
        raise UsageError(known + (other_file if path is None else ""))
    where = f"{source}: profile {name}"
    given = profiles[name] if address is None else _at(address, profiles[name])
    settings = _settings(given, where)
    if isinstance(settings, ClusterSpec) and not trust:
        require_known(where, settings.cluster_class, settings.keywords, settings.env, settings.config)
    return Profile(name, where, _located(settings, path, where))


def _trusted(_path: Path, _status: os.stat_result) -> None:
    return


def _profiles(content: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    for key in content:
        if key not in BUILT_IN:
            raise UsageError(f"{source}: {key}: unknown key; expected default and profiles")
    profiles = content.get("profiles")
    if not isinstance(profiles, dict) or not profiles or not all(isinstance(name, str) for name in profiles):
        raise UsageError(f"{source}: profiles: {shown(profiles)}: expected names, each with a profile")
    return profiles


def _at(address: str, given: object) -> object:
    if not isinstance(given, dict):
        return given
    return {"address": address, **{key: given[key] for key in _COMMON_KEYS if key in given}}


def _settings(given: object, where: str) -> Settings:
    from dask.config import expand_environment_variables

    if not isinstance(given, dict) or ("address" in given) == ("class" in given):
        raise UsageError(f"{where}: {shown(given)}: expected either address: or class:")
    kwargs = given.get("kwargs")
    expanded = expand_environment_variables(given)
    if isinstance(kwargs, dict):
        plain = {str(key).replace("-", "_"): value for key, value in kwargs.items()}
        scripts = {key: plain[key] for key in _SCRIPTS if key in plain}
        expanded = {**expanded, "kwargs": {**expand_environment_variables(plain), **scripts}}
    for key, text in (("address", expanded.get("address")), *_files(expanded.get("security"))):
        if isinstance(text, str) and (unset := _UNSET.search(text)):
            name = unset[1] or unset[2]
            raise UsageError(
                f"{where}: {key}: {text}: set the environment variable {name}, or write the value"
            )
    model = SchedulerAddress if "address" in given else ClusterSpec
    try:
        settings = model.model_validate(expanded)
    except ValidationError as error:
        raise UsageError(f"{where}: {_complaint(next(problems_of(error)), model)}") from None
    if isinstance(settings, ClusterSpec) and settings.adapt is not None:
        if settings.scale is not None:
            raise UsageError(f"{where}: scale: {settings.scale}: expected either scale or adapt, not both")
        if settings.adapt.maximum < settings.adapt.minimum:
            raise UsageError(
                f"{where}: adapt.maximum: {settings.adapt.maximum}: expected at least the minimum, "
                f"{settings.adapt.minimum}"
            )
    return settings


def _located(settings: Settings, path: Path | None, where: str) -> Settings:
    """Make the paths of TLS files absolute: they are relative to the file that names them."""
    if not isinstance(settings.security, Certificates):
        return settings
    folder = path.parent if path else Path()
    found = {}
    for key, text in _files(settings.security.model_dump()):
        file = folder / Path(text).expanduser()
        if not file.is_file():
            raise UsageError(f"{where}: {key}: {file}: no such file; expected a PEM file")
        found[key.removeprefix("security.")] = str(file.absolute())
    return settings.model_copy(update={"security": settings.security.model_copy(update=found)})


def _files(security: object) -> list[tuple[str, Any]]:
    named = security if isinstance(security, dict) else {}
    return [(f"security.{key}", named[key]) for key in ("ca_file", "cert", "key") if key in named]


def _complaint(problem: Problem, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem.at if part not in _TAGS)
    if problem.kind == "missing":
        return f"{key}: missing"
    if problem.kind == "extra_forbidden":
        known = (field.alias or name for name, field in model.model_fields.items())
        return f"{key}: unknown key" + (f"; expected {_or(known)}" if "." not in key else "")
    expected = {
        "address": "expected tcp://HOST:PORT or tls://HOST:PORT",
        "security": f"expected {'true, or ' if model is ClusterSpec else ''}ca_file, cert and key",
        "class": "expected a class with its module, such as dask.distributed.LocalCluster",
    }
    return f"{key}: {shown(problem.value)}: {expected.get(key, problem.expected)}"


def _or(names: Any) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else str(last)
