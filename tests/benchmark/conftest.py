"""Nothing is kept in the user's own cache."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "cache"))
