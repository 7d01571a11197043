"""Write the two examples of the page: simulated views of one case, so nothing of a patient."""

import gzip
import sys
import tempfile
from pathlib import Path

from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

SEED, CASE = 7, 3

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
case = simulate_case(SEED, CASE)
with tempfile.TemporaryDirectory() as scratch:
    for view in case.views:
        file = Path(scratch) / f"{view.view}.dcm"
        write_dicom(file, case, view, seed=SEED)
        (folder / f"{view.view}.dcm.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
