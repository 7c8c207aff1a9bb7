"""What a cluster file may say without running code of its own, and whose file it may be.

A cluster file is the configuration of a program: it names classes to import, and scripts and images to run on
other machines. What would run code that the file does not openly name is refused unless the user vouches for
the file, and so is a file that somebody else can write.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

from latentscan.errors import UnsafeInputError, parameter, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CLASSES = {  # of clusters, by the modules that offer them; any other would be imported to see what it is
    "dask.distributed": ("LocalCluster", "SSHCluster"),
    "distributed": ("LocalCluster", "SSHCluster"),
    "distributed.deploy.local": ("LocalCluster",),
    "distributed.deploy.ssh": ("SSHCluster",),
    "dask_jobqueue": (
        *("SLURMCluster", "PBSCluster", "SGECluster", "LSFCluster", "OARCluster"),
        *("HTCondorCluster", "MoabCluster", "LocalCluster"),
    ),
    "dask_kubernetes": ("KubeCluster",),
    "dask_kubernetes.operator": ("KubeCluster",),
    "dask_gateway": ("GatewayCluster",),
    "dask_cuda": ("LocalCUDACluster",),
    "dask_yarn": ("YarnCluster",),
    "dask_cloudprovider.aws": ("EC2Cluster", "ECSCluster", "FargateCluster"),
    "dask_cloudprovider.azure": ("AzureVMCluster",),
    "dask_cloudprovider.gcp": ("GCPCluster",),
}
# settings whose texts name no code; those of others pass as numbers, sizes and times
_PLAIN_SETTINGS = re.compile(
    r"temporary-directory|distributed\.comm\.(compression|default-scheme|socket-backend|tls\..+)"
    r"|distributed\.dashboard\.link|distributed\.worker\.multiprocessing-method"
    r"|distributed\.worker\.memory\..+|distributed\.scheduler\.dashboard\..+"
    r"|jobqueue\.[\w-]+\.(name|queue|account|project|walltime|interface|memory"
    r"|local-directory|shared-temp-directory|log-directory)"
    r"|gateway\.(address|proxy-address|public-address)"
)
_QUANTITY = re.compile(r"[\d.,:+-]+ ?[A-Za-z]{0,12}%?|auto|inf|none|true|false", re.IGNORECASE)
# variables by which a program that starts loads or runs something
_LOADING = re.compile(
    r"(LD_|DYLD_|PYTHON|DASK_|BASH_|PERL|NODE_|GIT_|GCONV_).*|PATH|ENV|IFS|SHELL|MPLBACKEND|TF_.*PLUGIN.*",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER"})
# arguments of clusters, and of what they start, that name code
_NAMING_CODE = frozenset(
    {
        *("preload", "preload_argv", "preload_nanny", "preload_nanny_argv", "plugins", "extensions"),
        *("worker_class", "scheduler_class", "scheduler_cls", "job_cls", "proxy_command", "callbacks"),
        "pre_import",
    }
)
# the same as words of a command line, alone or joined to their value
_CODE_FLAG = re.compile(r"--(preload|worker-class|scheduler-class|pre-import)([-=].*)?")
_VARIABLES = frozenset({"env", "environ", "environment"})
_WAYS_TO_SIGN_IN = frozenset({"kerberos", "jupyterhub", "basic"})


def require_known(
    where: str,
    cluster_class: str,
    keywords: Mapping[str, Any],
    env: Mapping[str, str],
    config: Mapping[str, Any],
) -> None:
    """Check that nothing in a profile runs code that it does not openly name.

    Parameters
    ----------
    where
        File and profile, for messages.
    cluster_class, keywords, env, config
        What the profile says.

    Raises
    ------
    UnsafeInputError
        If something does.
    """
    module, _, name = cluster_class.rpartition(".")
    if name not in CLASSES.get(module, ()):
        raise _refused(
            f"{where}: class: {cluster_class}: expected a known class of clusters, such as "
            "dask.distributed.LocalCluster; to import another runs its module"
        )
    for key, value in flat(config).items():
        if not _is_plain(key, value):
            raise _refused(f"{where}: config: {key}: {shown(value)}: a setting that can run code")
    for variable in env:
        _require_harmless(f"{where}: env: {variable}", variable)
    for text in _texts(keywords):
        if any(_CODE_FLAG.fullmatch(word.strip("'\"")) for word in text.split()):
            raise _refused(f"{where}: kwargs: {shown(text)}: an argument that runs code")
    for at, key, value in _nested(keywords):
        if key in _NAMING_CODE and value not in (None, [], {}):
            raise _refused(f"{where}: kwargs: {at}: {shown(value)}: an argument that runs code")
        if key == "auth" and isinstance(value, str) and value not in _WAYS_TO_SIGN_IN:
            raise _refused(f"{where}: kwargs: {at}: {shown(value)}: a class, whose module would be run")
        if key in _VARIABLES and isinstance(value, dict):
            for variable in value:
                _require_harmless(f"{where}: kwargs: {at}.{variable}", str(variable))


def require_own(path: Path, status: os.stat_result) -> None:
    """Check that nobody but the user and the administrator can have written a cluster file.

    A group that has the user alone, as many systems make for each of them, may write it. Whoever replaces a
    file in a folder that a group shares owns the new one, which is refused.

    Parameters
    ----------
    path
        Of the file.
    status
        Of the file as it was opened.

    Raises
    ------
    UnsafeInputError
        If another user owns it, or can write it.
    """
    if os.name != "posix":
        return
    if status.st_uid not in {0, os.geteuid()}:
        raise _refused(
            f"{path}: belongs to {_user(status.st_uid)}, who can have it run code as you; read it, and use "
            "a copy of your own"
        )
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _is_private(status)):
        raise _refused(f"{path}: other users can write it, and have it run code as you: chmod go-w {path}")
    folder = path.resolve().parent
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise _refused(f"{path}: every user can replace it in its folder: chmod o-w {folder}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested names with dots: Dask would drop the siblings of a nested one.

    Examples
    --------
    >>> flat({"distributed": {"comm": {"retry": {"count": 3}}}})
    {'distributed.comm.retry.count': 3}
    """
    joined: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict) and value
        joined |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return joined


def _is_plain(key: str, value: Any) -> bool:
    """Check that a setting cannot name code: a number, or a text that is none of a module or a command."""
    *parents, last = key.split(".")
    parents = [parent.replace("_", "-") for parent in parents]
    if {"pre-spawn-environ", "environ"} & set(parents):
        return not _loads(last)
    if value in (None, [], {}) or isinstance(value, bool | int | float):
        return True
    return isinstance(value, str) and bool(
        _QUANTITY.fullmatch(value) or _PLAIN_SETTINGS.fullmatch(key.replace("_", "-"))
    )


def _require_harmless(where: str, variable: str) -> None:
    if _loads(variable):
        raise _refused(f"{where}: a variable by which programs load code")


def _loads(variable: str) -> bool:
    return bool(_LOADING.fullmatch(variable)) and variable not in _HARMLESS


def _nested(value: Any, at: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield every key in arguments: where it is, itself in Python's spelling, and its value."""
    if isinstance(value, dict):
        for key, part in value.items():
            here = f"{at}.{key}" if at else str(key)
            yield here, str(key).replace("-", "_"), part
            yield from _nested(part, here)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _nested(part, at)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _is_private(status: os.stat_result) -> bool:
    """Check whether the group of a file has its owner alone."""
    import grp
    import pwd

    try:
        group, owner = grp.getgrgid(status.st_gid), pwd.getpwuid(status.st_uid)
    except KeyError:  # numbers without names, as in containers
        return status.st_gid == status.st_uid
    return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _user(number: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _refused(problem: str) -> UnsafeInputError:
    return UnsafeInputError(
        f"{problem}; or give {parameter('trust_cluster', value=True)} if you trust the file"
    )
