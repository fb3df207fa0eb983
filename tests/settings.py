"""The only overlay: one throw-away database, entered as the superuser of its cluster.

Factories write as that superuser; requests run as `app_rw` (conftest.py switches the
role), so row-level security is in force in every test of a request.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlops.settings import *  # noqa: F403
from mlops.settings import STORAGES, VAR, Embedded, database, env

TEST_VAR = VAR / "test"
TEST_DATABASE = f"test_mlops_{os.getpid()}"
SUPERUSER_URL = env.text("DATABASE_URL") or Embedded(TEST_VAR).superuser_url
DATABASES = {"default": database(SUPERUSER_URL) | {"NAME": TEST_DATABASE}}
DATABASE_ROUTERS = ["tests.routers.TestRouter"]
ADMIN_ALIAS = "default"
# Each request becomes app_rw by SET ROLE (conftest.py); the connection itself is more.
ALLOW_PRIVILEGED_DB = True

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MEDIA_ROOT = Path(tempfile.mkdtemp(prefix="mlops-test-blobs-"))
STORAGES["blobs"]["OPTIONS"]["location"] = str(MEDIA_ROOT)
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
WHITENOISE_AUTOREFRESH = True
QUERY_HEADER = True
# All tests come from one address within seconds; those of throttles set their own.
THROTTLES = THROTTLES | {  # noqa: F405
    name: env.rate("", "1000000/s")
    for name in (
        "token",
        "organization",
        "failed_authentication",
        "token_leak",
        "account_form",
        "account_mail",
    )
}
TOKEN_USE_SECONDS = 0
DOWNLOAD_NOTE_SECONDS = 0
