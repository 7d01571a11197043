"""What the tests of an archive share: a calibrated model without training, and a folder of pictures."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from PIL import Image

from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.identity import weights_id
from tests.calibrations import calibration_of
from tests.segmentation.pictures import STEPS, Brightness, red, red_dicom

# Without pyarrow, of the extra archive, the files cannot be imported: on the oldest stack.
collect_ignore_glob = ["*.py"] if find_spec("pyarrow") is None else []


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """What is red is lesion; judged by three views, so that no network needs scores."""
    folder, network = tmp_path_factory.mktemp("model") / "red", Brightness()
    calibration = calibration_of(weights_id(network.state_dict()), signal="views", presence=None, familiarity=None)
    write_model_folder(network, folder, steps=STEPS, calibration=calibration, name="red")
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Six pictures, one of them empty and one damaged, and a cine of three frames of a scanner."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels, _ = red()
    for number in range(4):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    Image.fromarray(pixels * 0).save(folder / "4_black.png")
    (folder / "5_bad.png").write_bytes(b"no picture")
    red_dicom(
        folder / "6.dcm",
        frames=3,
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.5",
        PatientID="PLANTED-4711",
        PatientName="Planted^Petra",
        StudyDate="20260102",
        Manufacturer="Maker",
        ManufacturerModelName="Scanner A",
        PixelSpacing=[0.5, 0.5],
    )
    return folder
