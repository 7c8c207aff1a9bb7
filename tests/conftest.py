"""Settings of all tests, and a server of S3's protocol."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# a shared machine may stall any example: what takes too long is for the benchmarks to see
settings.register_profile("latentscan", deadline=None)
settings.load_profile("latentscan")

# as latentscan sets it, for tests that import TensorFlow before it
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# a shell ignores interruptions for what it starts in the background, and so would the commands under test
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of an S3 server, a process of its own on loopback."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert server.poll() is None, log.read_text()
            time.sleep(0.02)
        yield found[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty bucket that this process and those it starts can use."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"latents-{secrets.token_hex(4)}"
    _send(s3_server, "PUT", f"/{bucket}")
    return f"s3://{bucket}"


@pytest.fixture
def as_reader(s3: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a user who may read every file but those called secret, and write none."""
    from botocore.session import get_session  # type: ignore[import-untyped]

    statements = [
        {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/secret*"},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam, user = get_session().create_client("iam"), secrets.token_hex(4)
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=policy)
    keys = iam.create_access_key(UserName=user)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    _send(s3_server, "POST", "/moto-api/reset-auth", "0")
    yield
    _send(s3_server, "POST", "/moto-api/reset-auth", "inf")


def _send(server: str, method: str, path: str, body: str | None = None) -> None:
    with closing(HTTPConnection(server.removeprefix("http://"))) as connection:
        connection.request(method, path, body)
        assert connection.getresponse().status == HTTPStatus.OK
