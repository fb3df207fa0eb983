"""A server that speaks S3's protocol, as a process of its own, with an empty bucket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
REGION = "eu-central-1"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Bucket:
    endpoint_url: str
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What an operator sets."""
        return {
            **KEYS,
            "BLOB_STORE": f"s3://{self.name}/platform/blobs",
            "S3_ENDPOINT_URL": self.endpoint_url,
            "S3_REGION": REGION,
        }

    def store(self, drafts: str, **more: Any) -> dict[str, Any]:
        """The entry of STORAGES."""
        options = {
            "bucket_name": self.name,
            "location": "platform/blobs",
            "endpoint_url": self.endpoint_url,
            "region_name": REGION,
            "access_key": KEYS["AWS_ACCESS_KEY_ID"],
            "secret_key": KEYS["AWS_SECRET_ACCESS_KEY"],
            "drafts": drafts,
        }
        backend = "registry.storage.bucket.BlobBucket"
        return {"BACKEND": backend, "OPTIONS": options | more}

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def keys(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name)
        return [each["Key"] for each in listed.get("Contents", ())]

    def open_uploads(self) -> list[str]:
        listed = self.client.list_multipart_uploads(Bucket=self.name)
        return [each["Key"] for each in listed.get("Uploads", ())]

    def empty(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=key)
        for each in self.client.list_multipart_uploads(Bucket=self.name).get(
            "Uploads", ()
        ):
            self.client.abort_multipart_upload(
                Bucket=self.name, Key=each["Key"], UploadId=each["UploadId"]
            )


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **KEYS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, server)
        bucket = Bucket(f"http://127.0.0.1:{port}", "blobs")
        place = {"LocationConstraint": REGION}
        bucket.client.create_bucket(Bucket="blobs", CreateBucketConfiguration=place)
        yield bucket
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
