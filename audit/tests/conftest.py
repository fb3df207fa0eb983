from __future__ import annotations

import pytest


@pytest.fixture
def sealing_key(settings, tmp_path):
    """Let this test seal with a key of its own, and anchor nowhere."""
    settings.AUDIT_KEY_FILE = tmp_path / "secrets" / "audit_signing_key"
    settings.AUDIT_PUBLIC_KEYS_FILE = tmp_path / "secrets" / "audit_public_keys"
    settings.AUDIT_PUBLIC_KEYS = []
    settings.AUDIT_ANCHORS = []
    return settings.AUDIT_KEY_FILE
