"""Profiles: what a cluster.yaml may contain, and what is reported about one that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latentscan.cluster.profiles import SchedulerAddress, load_profile
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).parents[2] / "cluster.yaml"
NAMES = ("local", "existing", "ssh", "slurm", "kubernetes", "gateway")


def test_the_shipped_file_has_these_profiles_and_its_default_is_local(written: Callable[[str], Path]) -> None:
    assert load_profile(SHIPPED, None).name == "local"
    with pytest.raises(UsageError, match=", ".join(NAMES)):
        load_profile(SHIPPED, "none of these")


def test_without_a_file_the_profile_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_profile(None, None).name == "local"
    (tmp_path / "cluster.yaml").write_text("default: here\nprofiles: {here: {address: 'tcp://a:1'}}\n")
    assert load_profile(None, None).name == "here"


def test_tls_files_are_found_from_where_the_file_is(written: Callable[[str], Path], tmp_path: Path) -> None:
    path = written(
        "default: a\nprofiles: {a: {address: 'tls://a:1', security: {ca_file: a, cert: b, key: c}}}\n"
    )
    for name in "ab":
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"security\.key: .*/c: no such file"):
        load_profile(path, None)
    (tmp_path / "c").touch()
    security = load_profile(path, None).settings.security
    assert getattr(security, "ca_file", None) == str(tmp_path / "a")


def test_an_address_from_elsewhere_takes_what_fits_of_a_profile(written: Callable[[str], Path]) -> None:
    existing = load_profile(SHIPPED, "existing", address="tcp://there:1")  # its own variable is not set
    assert existing.settings == SchedulerAddress(address="tcp://there:1")
    path = written("default: a\nprofiles: {a: {class: y.z, scale: 2, resources: {GPU: 1}}}\n")
    started_elsewhere = load_profile(path, None, address="tcp://there:1")
    assert started_elsewhere.settings == SchedulerAddress(address="tcp://there:1", resources={"GPU": 1})


WRONG = {
    "a: {address: '${NOT_SET}'}": r"address: \$\{NOT_SET\}: set the environment variable NOT_SET",
    "a: {address: 'http://x:1'}": "address: http://x:1: expected tcp://HOST:PORT or tls://HOST:PORT",
    "a: {address: 'tcp://x:1', class: y.z}": "expected either address: or class:",
    "a: {resources: {GPU: 1}}": "expected either address: or class:",
    "a: 5": "a: 5: expected either address: or class:",
    "a: {address: 'tcp://x:1', env: {A: 1}}": "env: unknown key; expected .*address",
    "a: {address: 'tcp://x:1', security: true}": "security: True: expected ca_file, cert and key",
    "a: {address: 'tcp://x:1', security: {ca_file: x}}": r"security\.cert: missing",
    "a: {address: 'tcp://x:1', security: {ca: x}}": r"security\.ca: unknown key|security\.ca_file: missing",
    "a: {address: 'tcp://x:1', resources: {GPU: -1}}": r"resources\.GPU: -1: expected greater than 0",
    "a: {address: 'tcp://x:1', workers_timeout: soon}": "workers_timeout: soon: .*number",
    "a: {class: LocalCluster}": "class: LocalCluster: expected a class with its module",
    "a: {class: y.z, scale: 1, adapt: {maximum: 2}}": "scale: 1: expected either scale or adapt, not both",
    "a: {class: y.z, adapt: {maximum: 2, minimum: 3}}": r"adapt\.maximum: 2: .* the minimum, 3",
    "a: {class: y.z, adapt: {maximum: 2, minimum: 0}}": r"adapt\.minimum: 0: .*greater than or equal to 1",
    "a: {class: y.z, security: maybe}": "security: maybe: expected true, or ca_file, cert and key",
    "a: {class: y.z, workers: 3}": "workers: unknown key; expected .*kwargs",
    "a: {class: y.z}\n  a: {class: y.z}": "line 4, column 3: the key a is given twice",
    "a: {class: y.z, kwargs: {b: 1, b: 2}}": r"line 3, column \d+: the key b is given twice",
    "a: {class: [}": "line 3, column 15: ",
    "a: {class: y.z}\nother: 1": "other: unknown key; expected default and profiles",
    "b: {class: y.z}": "default: 'a': expected one of the profiles: b",
}


@pytest.mark.parametrize("text", WRONG)
def test_one_line_says_what_is_wrong(text: str, written: Callable[[str], Path]) -> None:
    path = written(f"default: a\nprofiles:\n  {text}\n")
    with pytest.raises(UsageError, match=WRONG[text]) as caught:
        load_profile(path, None)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_mapping_or_not_there(written: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected keys with values"):
        load_profile(written("5"), None)
    with pytest.raises(UsageError, match="profiles: nothing: expected names"):
        load_profile(written("default: a"), None)
    with pytest.raises(UsageError, match="no default: give profile=a or b"):
        load_profile(written("profiles: {a: {}, b: {}}"), None)
    with pytest.raises(UsageError, match=r"nowhere\.yaml: No such file"):
        load_profile(tmp_path / "nowhere.yaml", None)
