from __future__ import annotations

import pytest
from django.core.files.storage import storages

from registry.storage import BlobFolder


@pytest.fixture(autouse=True)
def blob_folder(tmp_path, settings) -> BlobFolder:
    """A store of this test's own: commands look at all that lies in it."""
    settings.STORAGES = {
        **settings.STORAGES,
        "blobs": {
            "BACKEND": "registry.storage.BlobFolder",
            "OPTIONS": {"location": str(tmp_path / "blobs")},
        },
    }
    folder = storages["blobs"]
    assert isinstance(folder, BlobFolder)
    folder.drafts  # noqa: B018  makes the folder
    return folder
