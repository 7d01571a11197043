"""Which packages are there."""

from __future__ import annotations

from monai_lesion.machine import packages


def test_versions_leave_out_what_is_absent():
    assert list(packages.versions(["numpy", "no-such-package"])) == ["numpy"]
    assert not packages.is_installed("no_such_package")
