from __future__ import annotations

import pytest

from registry.storage import BlobFolder


@pytest.fixture(autouse=True)
def blob_folder(store: BlobFolder) -> BlobFolder:
    """A store of this test's own: commands look at all that lies in it."""
    store.drafts  # noqa: B018  makes the folder
    return store
