"""Simulated views as DICOM Ultrasound Images with a calibrated region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_lesion.data.phantoms import SimulatedView

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def write_view(path: Path, view: SimulatedView, *, seed: int, case: int, number: int) -> None:
    """Write one view as DICOM; the identifiers follow from seed, case and view.

    Args:
        path: the file.
        view: what to write.
        seed: of the whole set.
        case: number of the case.
        number: 0 for the first view, 1 for the second.

    Source:
        DICOM PS3.3 A.6 (Ultrasound Image IOD), C.8.5.5 (US Region Calibration; unit code 3 is centimetre).
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    def uid(*parts: object) -> Any:
        return generate_uid(entropy_srcs=["monai_lesion", *(str(part) for part in parts)])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ULTRASOUND_IMAGE)
    meta.MediaStorageSOPInstanceUID = uid(seed, case, "image", number)
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    meta.ImplementationClassUID = uid("implementation")
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = uid(seed, case, "study"), uid(seed, case, "series")
    image.PatientName, image.PatientID = f"Simulated^{case:04d}", f"SIM{seed}-{case:04d}"
    image.PatientBirthDate, image.PatientSex = "", "O"
    image.StudyDate, image.StudyTime, image.StudyID = "20210413", "120000", str(case)
    image.ContentDate, image.ContentTime = "20210413", f"12000{number}"
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.Modality, image.Manufacturer = "US", "monai_lesion simulation"
    image.SeriesNumber, image.InstanceNumber = 1, number + 1
    image.Laterality = image.PatientOrientation = ""
    image.SeriesDescription, image.ImageComments = "Simulated lesion", f"{view.view} view, simulated"
    image.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    image.LossyImageCompression = "00"
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.Rows, image.Columns = view.mask.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0

    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = image.Columns - 1, image.Rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = view.spacing[1] / 10, view.spacing[0] / 10
    image.SequenceOfUltrasoundRegions = [region]
    image.PixelData = view.pixels.tobytes()
    image.save_as(path, **_as_file_format())


def _as_file_format() -> dict[str, bool]:
    """The argument that writes the preamble: pydicom 3 renamed it."""
    import pydicom

    return {"enforce_file_format": True} if int(pydicom.__version__.split(".")[0]) >= 3 else {"write_like_original": False}
