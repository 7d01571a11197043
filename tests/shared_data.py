"""Where the real data lie that some tests read; absent on most machines, and then those tests skip."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("MONAI_LESION_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
BUSBRA = SHARED / "busbra"
BUSI = SHARED / "busi"
US_DICOM = SHARED / "us_dicom"
ABSENT = f"the real data are not in {SHARED} (name their place with MONAI_LESION_SHARED)"
