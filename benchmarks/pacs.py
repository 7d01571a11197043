"""Memory of `monai-lesion dicomweb` over a short and a long study in a real Orthanc.

    python benchmarks/pacs.py [--images 20 200]

Each study is segmented by a process of its own; what it holds in memory (resident set, from /proc) is read whenever its
progress bar moves. Needs Linux, Orthanc with its DICOMweb plugin, and the extras "dicom" and "dev". The pictures are
small (96 x 128) and the network is the smallest of the paper's, so that the rest of the process shows.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monai_lesion.networks import LighterUNet  # noqa: E402
from monai_lesion.phantoms.cases import simulate_case  # noqa: E402
from monai_lesion.phantoms.dicom import write_dicom  # noqa: E402
from tests.pacs.orthanc import PASSWORD, USER, Orthanc, running_orthanc  # noqa: E402

PREFIX = "1.2.826.0.1.3680043.8.498"
ROWS, COLUMNS = 96, 128


def upload(orthanc: Orthanc, images: int, folder: Path) -> str:
    """A study of so many images, one picture under many identifiers."""
    case = simulate_case(0, 0)
    write_dicom(folder / "view.dcm", case, case.views[0], seed=0)
    dataset = pydicom.dcmread(folder / "view.dcm")
    step = dataset.Rows // ROWS, dataset.Columns // COLUMNS
    dataset.PixelData = dataset.pixel_array[:: step[0], :: step[1]][:ROWS, :COLUMNS].tobytes()
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    del dataset.SequenceOfUltrasoundRegions
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{PREFIX}.{images}.1", f"{PREFIX}.{images}.2"
    for number in range(images):
        one = copy.copy(dataset)
        one.InstanceNumber, one.SOPInstanceUID = number + 1, f"{PREFIX}.{images}.3.{number + 1}"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.save_as(folder / "one.dcm")
        orthanc.put(folder / "one.dcm")
    return str(dataset.StudyInstanceUID)


def resident(pid: int) -> float:
    """Megabytes in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def measure(orthanc: Orthanc, study: str, weights: Path) -> tuple[dict[int, float], float, str]:
    """Megabytes by images done, seconds from the first to the last, and the last line that the command says."""
    network = ["--weights", weights, "--set", "network_def#group_size=1", "--set", "spatial_size=[64,64]"]
    command = [sys.executable, "-m", "monai_lesion.commands.app", "dicomweb", orthanc.url, "--study", study, *network]
    variables = {"MONAI_LESION_PACS_USER": USER, "MONAI_LESION_PACS_PASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"}
    memory, moments, text = {}, [], b""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*map(str, command), "--device", "cpu"], stdout=pipe, stderr=pipe, cwd=ROOT, env={**os.environ, **variables}
    )
    while piece := os.read(process.stderr.fileno(), 4096):  # type: ignore[union-attr]
        text += piece
        if done := re.findall(rb"(\d+)/\d+ \[", text[-300:]):
            memory[int(done[-1])] = resident(process.pid)
            moments.append(time.perf_counter())
    output = process.communicate()[0].decode()
    if process.returncode:
        raise SystemExit(text.decode())
    return memory, moments[-1] - moments[0], output.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[20, 200])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = LighterUNet(group_size=1).state_dict()
        state[[key for key in state if key.endswith("bias")][-1]] += 50  # a lesion everywhere, so that all is written
        torch.save({"model": state}, folder / "model.pt")
        with running_orthanc(folder / "orthanc") as orthanc:
            print(f"{'images':>6}{'after 1':>12}{'half':>12}{'all':>12}{'peak':>12}{'seconds an image':>20}")
            for images in options.images:
                study = upload(orthanc, images, folder)
                memory, seconds, said = measure(orthanc, study, folder / "model.pt")
                points = [min(memory, key=lambda n, at=at: abs(n - at)) for at in (1, images // 2, images)]
                columns = [*(memory[point] for point in points), max(memory.values())]
                shown = "".join(f"{megabytes:9.0f} MB" for megabytes in columns)
                print(f"{images:>6}{shown}{seconds / images:20.2f}   ({said})", flush=True)


if __name__ == "__main__":
    main()
