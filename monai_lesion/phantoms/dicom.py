"""Write a simulated view as a DICOM Ultrasound Image, calibrated as scanners do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

    from monai_lesion.phantoms.cases import SimulatedCase, SimulatedView

ULTRASOUND_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def write_dicom(path: str | Path, case: SimulatedCase, view: SimulatedView, *, seed: int) -> None:
    """Write one view: RGB, uncompressed, with one ultrasound region calibrated in centimetres.

    Seed, case and view determine the unique identifiers, so the same case written twice is the same object.

    Args:
        path: the file.
        case: the case that the view belongs to; both views are instances of one series.
        view: the view.
        seed: seed that the case was simulated with.

    Source:
        DICOM PS3.3, A.6 (Ultrasound Image IOD) and C.8.5.5 (US Region Calibration).
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    from monai_lesion.phantoms.cases import GENERATOR

    def uid(*names: str) -> UID:
        # The generator counts: other pixels under the same identifier would be taken for the old ones by an archive.
        return generate_uid(entropy_srcs=["/".join(["monai_lesion", str(GENERATOR), str(seed), case.case_id, *names])])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ULTRASOUND_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = uid("instance", view.view)
    meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
    dataset = FileDataset(str(path), Dataset(), file_meta=meta, preamble=b"\0" * 128)
    number = int(case.case_id)
    front = view.view == "front"
    values = {
        # Patient, General Study, General Series, General Equipment
        "PatientName": f"Simulated^{case.case_id}",
        "PatientID": f"SIM-{seed}-{case.case_id}",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyInstanceUID": uid("study"),
        "StudyDate": f"2021{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}",
        "StudyTime": "120000",
        "ReferringPhysicianName": "",
        "StudyID": case.case_id,
        "AccessionNumber": "",
        "StudyDescription": "Simulated ultrasound",
        "Modality": "US",
        "SeriesInstanceUID": uid("series"),
        "SeriesNumber": 1,
        "SeriesDescription": "Simulated lesion in two orthogonal views",
        "Manufacturer": "monai_lesion",
        "ManufacturerModelName": f"Simulated scanner {case.centre}",
        "InstitutionName": f"Simulated centre {case.centre}",
        # General Image, Image Pixel, US Image, SOP Common
        "SOPClassUID": UID(ULTRASOUND_IMAGE_STORAGE),
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"],  # 0001: two-dimensional imaging
        "InstanceNumber": 1 if front else 2,
        "PatientOrientation": "",
        "ImageLaterality": "U",  # of no paired part of the body
        "ContentDate": f"2021{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}",
        "ContentTime": "120000" if front else "120100",
        "ImageComments": f"simulated, {view.view} view",
        "BurnedInAnnotation": "YES" if view.calipers else "NO",
        "LossyImageCompression": "00",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": view.pixels.shape[0],
        "Columns": view.pixels.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "UltrasoundColorDataPresent": 0,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.SequenceOfUltrasoundRegions = [_region(view)]
    dataset.PixelData = view.pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    try:
        dataset.save_as(path, enforce_file_format=True)
    except TypeError:  # pydicom 2
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.save_as(path, write_like_original=False)


def _region(view: SimulatedView) -> Dataset:
    """Describe the whole picture as one two-dimensional region of tissue."""
    from pydicom.dataset import Dataset

    rows, columns = view.pixels.shape[:2]
    region = Dataset()
    region.RegionSpatialFormat = 1  # two-dimensional
    region.RegionDataType = 1  # tissue
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # centimetres
    region.PhysicalDeltaX, region.PhysicalDeltaY = view.spacing[1] / 10, view.spacing[0] / 10
    return region
