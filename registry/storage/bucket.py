"""The store that is a bucket of S3, or of whatever speaks its protocol.

Imported only where BLOB_STORE names a bucket: boto3 takes 30 MB of each process.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from mlops.errors import InvalidInput, Unavailable

logger = logging.getLogger(__name__)

# What one PUT, and one copy, takes at most.
MOST_AT_ONCE = 5 * 1024**3
# Parts one after the other: each of them is held in memory.
IN_PARTS = TransferConfig(
    use_threads=False,
    multipart_threshold=MOST_AT_ONCE,
    multipart_chunksize=16 * 1024**2,
)
# Copied by the bucket itself.
COPYING = TransferConfig(
    use_threads=False,
    multipart_threshold=MOST_AT_ONCE,
    multipart_chunksize=1024**3,
)
STAGED = "uploads"
DIGEST_NAME = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})")
TYPE = "application/octet-stream"
PARTS_REFUSED = frozenset({"EntityTooSmall", "InvalidPart", "InvalidPartOrder"})
# Checksums of the newer kind are unknown to many servers that speak the protocol.
PATIENT = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"max_attempts": 4, "mode": "standard"},
    max_pool_connections=64,
    signature_version="s3v4",
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class StagedPart(NamedTuple):
    """A part as the bucket has it."""

    etag: str
    size_bytes: int


class BlobBucket(S3Storage):
    """Blobs as objects of a bucket: each is there whole or not at all.

    `presigns` lets clients send and fetch the bytes themselves, by URLs that are good
    for minutes; `public_endpoint_url` is where they reach the bucket, if elsewhere.
    """

    def __init__(
        self,
        *,
        drafts: str,
        presigns: bool = True,
        public_endpoint_url: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._drafts = Path(drafts)
        self.presigns = presigns
        self.public_endpoint_url = public_endpoint_url

    @property
    def drafts(self) -> Path:
        """Where a body is kept until its digest, and so its name, is known."""
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._drafts

    @property
    def connection(self) -> Any:
        return self._connect(self.endpoint_url)

    def _connect(self, endpoint_url: str | None) -> Any:
        return connected(
            self.access_key,
            self.secret_key,
            self.security_token,
            self.session_profile,
            self.region_name,
            endpoint_url,
            self.verify,
        )

    @property
    def client(self) -> Any:
        return self.connection.meta.client

    @property
    def signer(self) -> Any:
        """The client that signs URLs: for the address at which clients see us."""
        if not self.public_endpoint_url:
            return self.client
        return self._connect(self.public_endpoint_url).meta.client

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": self._normalize_name(name)}

    # Django's storage API

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Keep the name: the same name means the same bytes."""
        return name

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        size: int = self._head(name)["ContentLength"]
        return size

    def get_modified_time(self, name: str) -> datetime:
        moment: datetime = self._head(name)["LastModified"]
        return moment

    def _head(self, name: str) -> Any:
        with reaching(name):
            return self.client.head_object(**self._object(name))

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        with reaching(name):
            folders, files = super().listdir(name)
        return folders, files

    def delete(self, name: str) -> None:
        with reaching(name):
            self.client.delete_object(**self._object(name))

    def _open(self, name: str, mode: str = "rb") -> File:
        """Raises FileNotFoundError; asks for the size, and for the bytes when read."""
        return ObjectFile(self.client, self._object(name), self.size(name), name)

    def _save(self, name: str, content: File) -> str:
        content.seek(0)
        with reaching(name):
            if content.size > MOST_AT_ONCE:
                self.client.upload_fileobj(
                    content, **self._object(name), Config=IN_PARTS
                )
            else:
                self._put(name, content)
        return name

    def _put(self, name: str, content: File) -> None:
        """The bucket itself refuses bytes that have not the digest of their name."""
        asked = {"ContentType": TYPE, "ContentLength": content.size}
        if found := DIGEST_NAME.search(name):
            asked["ChecksumSHA256"] = base64_of(found[1] + found[2])
        self.client.put_object(**self._object(name), Body=content, **asked)

    # Uploads that clients send part by part, straight to the bucket

    def begin(self, upload: UUID) -> str:
        """Return the bucket's own name of the upload."""
        with reaching(str(upload)):
            begun = self.client.create_multipart_upload(
                **self._staged(upload), ContentType=TYPE
            )
        reference: str = begun["UploadId"]
        return reference

    def part_url(
        self, upload: UUID, reference: str, number: int, *, seconds: int
    ) -> str:
        part = {"UploadId": reference, "PartNumber": number}
        url: str = self.signer.generate_presigned_url(
            "upload_part", Params=self._staged(upload) | part, ExpiresIn=seconds
        )
        return url

    def parts(self, upload: UUID, reference: str) -> dict[int, StagedPart]:
        """Raises FileNotFoundError when the upload is over, one way or the other."""
        pages = self.client.get_paginator("list_parts").paginate(
            **self._staged(upload), UploadId=reference
        )
        with reaching(str(upload)):
            return {
                part["PartNumber"]: StagedPart(part["ETag"].strip('"'), part["Size"])
                for page in pages
                for part in page.get("Parts", ())
            }

    def join(
        self, upload: UUID, reference: str, parts: Mapping[int, StagedPart]
    ) -> None:
        """Make one object of the parts, beside the blobs."""
        listed = [
            {"PartNumber": number, "ETag": parts[number].etag}
            for number in sorted(parts)
        ]
        with reaching(str(upload)):
            try:
                self.client.complete_multipart_upload(
                    **self._staged(upload),
                    UploadId=reference,
                    MultipartUpload={"Parts": listed},
                )
            except ClientError as error:
                refuse_parts(error)
                raise

    def open_joined(self, upload: UUID) -> File:
        return self._open(staged_name(upload))

    def adopt(self, upload: UUID, name: str) -> None:
        """Make a blob of what was joined; no byte passes through here."""
        with reaching(name):
            self.client.copy(self._staged(upload), **self._object(name), Config=COPYING)

    def drop(self, upload: UUID, reference: str) -> None:
        """Leave nothing of an upload; what is gone already is no error."""
        try:
            with reaching(str(upload)):
                self.client.abort_multipart_upload(
                    **self._staged(upload), UploadId=reference
                )
        except FileNotFoundError:
            pass
        self.delete(staged_name(upload))

    def sweep_staged(self, older_than: timedelta) -> int:
        """Remove what was staged before; return how many uploads that were."""
        before = datetime.now(UTC) - older_than
        prefix = self._normalize_name(STAGED) + "/"
        with reaching(STAGED):
            return self._abort(prefix, before) + self._remove(prefix, before)

    def _abort(self, prefix: str, before: datetime) -> int:
        stale = [
            {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            for upload in self._listed("list_multipart_uploads", prefix, "Uploads")
            if upload["Initiated"] < before
        ]
        for upload in stale:
            self.client.abort_multipart_upload(Bucket=self.bucket_name, **upload)
        return len(stale)

    def _remove(self, prefix: str, before: datetime) -> int:
        stale = [
            each["Key"]
            for each in self._listed("list_objects_v2", prefix, "Contents")
            if each["LastModified"] < before
        ]
        for key in stale:
            self.client.delete_object(Bucket=self.bucket_name, Key=key)
        return len(stale)

    def _listed(self, operation: str, prefix: str, noun: str) -> Iterator[Any]:
        pages = self.client.get_paginator(operation)
        for page in pages.paginate(Bucket=self.bucket_name, Prefix=prefix):
            yield from page.get(noun, ())

    def _staged(self, upload: UUID) -> dict[str, str]:
        return self._object(staged_name(upload))

    # Downloads that clients fetch straight from the bucket

    def download_url(self, name: str, *, filename: str, seconds: int) -> str:
        """It can only be saved: the bucket's origin shows nothing in a browser."""
        disposition = content_disposition_header(True, filename) or "attachment"
        answer = {
            "ResponseContentDisposition": disposition,
            "ResponseContentType": TYPE,
            "ResponseCacheControl": "private, no-store",
        }
        url: str = self.signer.generate_presigned_url(
            "get_object", Params=self._object(name) | answer, ExpiresIn=seconds
        )
        return url


@cache
def connected(
    access_key: str | None,
    secret_key: str | None,
    token: str | None,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    verify: bool | str | None,
) -> Any:
    """Connect once per process: the base does so once per thread, and each of them
    costs half a second and some megabytes. Of what is returned only the client, which
    threads may share, is used at once by several.
    """
    session = boto3.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        profile_name=profile,
    )
    return session.resource(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        config=PATIENT,
        verify=verify,
    )


class ObjectFile(File):
    """An object, read from where it was last sought, as one answer of the bucket."""

    def __init__(
        self, client: Any, where: dict[str, str], size: int, name: str
    ) -> None:
        super().__init__(None, name)
        self._client = client
        self._where = where
        self._at = 0
        self._body: Any = None
        self.size = size

    @property
    def closed(self) -> bool:
        return self._client is None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, self.size)[whence] + offset
        self._let_go()
        return self._at

    def read(self, size: int = -1) -> bytes:
        if self._at >= self.size:
            return b""
        with reaching(str(self.name)):
            if self._body is None:
                self._body = self._client.get_object(
                    **self._where, Range=f"bytes={self._at}-"
                )["Body"]
            chunk: bytes = self._body.read(None if size < 0 else size)
        self._at += len(chunk)
        return chunk

    def close(self) -> None:
        self._let_go()
        self._client = None

    def _let_go(self) -> None:
        """Close the connection: what is left of the answer is not wanted."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Raises FileNotFoundError for what is not there, Unavailable for the rest."""
    try:
        yield
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise FileNotFoundError(name) from None
        raise unavailable(name, error) from error
    except BotoCoreError as error:
        raise unavailable(name, error) from error


def refuse_parts(error: ClientError) -> None:
    """Raises InvalidInput when it is the parts, and not the bucket, that are wrong."""
    code = error.response["Error"]["Code"]
    if code in PARTS_REFUSED:
        raise InvalidInput(f"The parts cannot be joined: {code}.") from None


def unavailable(name: str, error: Exception) -> Unavailable:
    logger.error("the bucket refuses or does not answer, asked for %s: %s", name, error)
    return Unavailable("The store of this server does not answer.")


def staged_name(upload: UUID) -> str:
    return f"{STAGED}/{upload}"


def base64_of(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
