"""A client of an S3 service, the same for every store: what differs between them is a matter of settings, said once."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

# boto3 makes one client at a time: its session is not for several threads.
_MAKING = threading.Lock()


def client(
    endpoint: str,
    region: str,
    *,
    access_key: str = "",
    secret_key: str = "",
    read_seconds: int = 30,
    attempts: int = 2,
    connections: int = 10,
) -> Any:
    """Return a client; without keys, one that asks as a stranger does.

    `read_seconds` is how long the store may keep silent, `attempts` how often a question is asked in all.
    """
    from botocore import UNSIGNED  # noqa: PLC0415  # slow to import, and wanted only when a store is asked
    from botocore.config import Config  # noqa: PLC0415

    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key} if access_key else {}
    return _session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        config=Config(
            signature_version="s3v4" if keys else UNSIGNED,
            s3={"addressing_style": "path"},
            # With what boto3 does since 1.36, stores other than Amazon's answer MissingContentLength.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=10,
            read_timeout=read_seconds,
            retries={"max_attempts": attempts, "mode": "standard"},
            max_pool_connections=connections,
        ),
        **keys,
    )


def shared(endpoint: str, region: str, *, access_key: str = "", secret_key: str = "") -> Any:
    """Return the one client that this process has for these keys. Threads may use it at once; nobody closes it."""
    with _MAKING:
        return _shared(endpoint, region, access_key, secret_key)


@cache
def _shared(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    # restic itself tries again; what is tried here as well would only hide for how long the store is away.
    return client(
        endpoint, region, access_key=access_key, secret_key=secret_key, read_seconds=60, attempts=2, connections=32
    )


@cache
def _session() -> Any:
    # One for all clients: reading what S3 is takes longest.
    import boto3  # noqa: PLC0415

    return boto3.session.Session()
