from __future__ import annotations

import base64
import json

import pytest
from django.core.management import call_command

from audit import keys

pytestmark = pytest.mark.usefixtures("sealing_key")
GIVEN = base64.b64encode(bytes(range(32))).decode()


def test_key_is_made_once_and_for_its_owner_only(sealing_key):
    made = keys.signing_key()
    assert sealing_key.stat().st_mode & 0o777 == 0o600
    assert keys.signing_key().text == made.text
    assert list(keys.trusted_keys()) == [made.public.id]


def test_web_process_knows_the_public_half_without_the_key(sealing_key):
    made = keys.signing_key()
    sealing_key.unlink()
    trusted = keys.trusted_keys()[made.public.id]
    assert trusted.signed(made.sign(b"word"), b"word")
    assert not trusted.signed(made.sign(b"word"), b"another")
    assert not sealing_key.exists()


def test_given_key_wins(monkeypatch, sealing_key, tmp_path):
    kept = keys.signing_key()
    monkeypatch.setenv("AUDIT_SIGNING_KEY", GIVEN)
    assert keys.signing_key().text == GIVEN
    monkeypatch.delenv("AUDIT_SIGNING_KEY")
    (tmp_path / "key").write_text(GIVEN + "\n")
    monkeypatch.setenv("AUDIT_SIGNING_KEY_FILE", str(tmp_path / "key"))
    assert keys.signing_key().text == GIVEN
    assert keys.signing_key().public.id != kept.public.id


@pytest.mark.parametrize("text", ["no key", "", base64.b64encode(b"short").decode()])
def test_bad_public_key_is_named(settings, text):
    settings.AUDIT_PUBLIC_KEYS = [text]
    with pytest.raises(keys.BadKey, match="AUDIT_PUBLIC_KEYS"):
        keys.trusted_keys()


def test_rotation_keeps_the_old_key_trusted(capsys):
    old = keys.signing_key()
    call_command("rotate_audit_key", "--yes", "--json")
    said = json.loads(capsys.readouterr().out)
    new = keys.signing_key()
    assert (said["old"], said["new"]) == (old.public.id, new.public.id)
    assert said["public_key"] == new.public.text
    assert keys.trusted_keys().keys() == {old.public.id, new.public.id}


def test_rotation_changes_nothing_when_it_only_plans(capsys):
    old = keys.signing_key()
    call_command("rotate_audit_key", "--dry-run")
    assert old.public.id in capsys.readouterr().out
    assert keys.signing_key().text == old.text


def test_rotation_leaves_a_given_key_to_its_giver(monkeypatch):
    monkeypatch.setenv("AUDIT_SIGNING_KEY", GIVEN)
    with pytest.raises(keys.BadKey, match="AUDIT_PUBLIC_KEYS"):
        keys.rotate()
