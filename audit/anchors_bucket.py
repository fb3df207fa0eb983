"""Anchors as objects of a bucket, locked where the setting says so.

Imported only where AUDIT_ANCHORS names a bucket: boto3 takes 30 MB of each process.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from mlops.errors import Unavailable

PATIENT = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"max_attempts": 4, "mode": "standard"},
    signature_version="s3v4",
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


def put(address: str, moment: datetime, line: bytes) -> None:
    """Store the line under its moment. Raises Unavailable when the bucket does not."""
    parts = urlsplit(address)
    name = f"{moment:%Y/%m/%d/%H%M%S.%f}.json"
    asked: dict[str, Any] = {
        "Bucket": parts.netloc,
        "Key": "/".join(filter(None, [parts.path.strip("/"), name])),
        "Body": line + b"\n",
        "ContentType": "application/json",
    }
    if settings.AUDIT_ANCHOR_LOCK_DAYS:
        asked["ObjectLockMode"] = "COMPLIANCE"
        until = moment + timedelta(days=settings.AUDIT_ANCHOR_LOCK_DAYS)
        asked["ObjectLockRetainUntilDate"] = until
        # A bucket demands it of what it is to lock.
        asked["ChecksumAlgorithm"] = "SHA256"
    try:
        client().put_object(**asked)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"{address} did not take the anchor: {error}") from None


def client() -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.AUDIT_ANCHOR_S3["endpoint_url"],
        region_name=settings.AUDIT_ANCHOR_S3["region_name"],
        config=PATIENT,
    )
