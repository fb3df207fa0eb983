"""Anchors that leave the machine: buckets and syslog, and what is no place."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from audit import anchors, keys
from audit.models import Anchor
from audit.tests.sealed import seal, seals_of, write
from mlops.db.uuid7 import uuid7
from tests.bucket import KEYS, REGION, Bucket, running_bucket

pytestmark = pytest.mark.usefixtures("sealing_key")
ACME = uuid7()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as made:
        yield made


def anchored_chain() -> str:
    write(ACME, 2)
    seal()
    (told,) = anchors.anchor_all(connection)
    assert (told.chains, told.error) == (1, "")
    (only,) = seals_of(ACME)
    return bytes(only.hash).hex()


@pytest.mark.django_db(transaction=True)
def test_anchor_becomes_a_locked_object_of_a_bucket(settings, monkeypatch, bucket):
    bucket.client.create_bucket(
        Bucket="anchors",
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.AUDIT_ANCHORS = ["s3://anchors/platform"]
    settings.AUDIT_ANCHOR_LOCK_DAYS = 30
    settings.AUDIT_ANCHOR_S3 = {
        "endpoint_url": bucket.endpoint_url,
        "region_name": REGION,
    }
    digest = anchored_chain()
    listed = bucket.client.list_objects_v2(Bucket="anchors")["Contents"]
    (key,) = [each["Key"] for each in listed]
    assert key.startswith("platform/20")
    stored = bucket.client.get_object(Bucket="anchors", Key=key)
    heads = anchors.heads_of(stored["Body"].read(), keys.trusted_keys())
    assert heads == {ACME: (1, bytes.fromhex(digest))}
    assert stored["ObjectLockMode"] == "COMPLIANCE"
    assert (stored["ObjectLockRetainUntilDate"] - Anchor.objects.get().anchored_at).days


@pytest.mark.django_db(transaction=True)
def test_anchor_that_a_bucket_refuses_is_told_again(settings, monkeypatch, bucket):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.AUDIT_ANCHORS = ["s3://nowhere/platform"]
    settings.AUDIT_ANCHOR_S3 = {
        "endpoint_url": bucket.endpoint_url,
        "region_name": REGION,
    }
    write(ACME)
    seal()
    (told,) = anchors.anchor_all(connection)
    assert "s3://nowhere/platform did not take the anchor" in told.error
    assert not Anchor.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_anchor_is_sent_to_syslog(settings):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.settimeout(10)
        settings.AUDIT_ANCHORS = [f"syslog:udp://127.0.0.1:{log.getsockname()[1]}"]
        digest = anchored_chain()
        message = log.recv(65_535).decode()
    head, _, line = message.partition(" - {")
    assert head.startswith("<109>1 20")
    assert json.loads("{" + line)["heads"] == {str(ACME): [1, digest]}


WRONG = ["file:relative", "s3:", "syslog:tcp://host:514", "ftp://x", "", "syslog:udp:"]


@pytest.mark.parametrize("address", WRONG)
def test_what_is_no_place_is_refused(address):
    with pytest.raises(ImproperlyConfigured, match="AUDIT_ANCHORS"):
        anchors.place_of(address)


GOOD = ["file:/x/y", "s3://bucket", "syslog:udp://h:514", "syslog:/dev/log"]


@pytest.mark.parametrize("address", GOOD)
def test_place_is_known_by_its_scheme(address):
    assert anchors.place_of(address).kind == address.partition(":")[0]
