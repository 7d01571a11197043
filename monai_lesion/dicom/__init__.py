"""Results as DICOM objects that an archive shows; the writers know nothing about networks.

::

    source, mask, algorithm -----------------+-- segmentation ------- SEG --+
    source, measurements, algorithm ---------+-- measurement_report -- SR --+-- write
    source, picture, mask, algorithm --------+-- secondary_capture --- SC --+

Needs highdicom and pydicom 3: ``pip install "monai-lesion[dicom]"``. See docs/how-to/dicom-objects.md.
"""

from monai_lesion.dicom.captures import SECONDARY_CAPTURE, secondary_capture
from monai_lesion.dicom.files import write
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.dicom.reports import measurement_report
from monai_lesion.dicom.segmentations import SEGMENTATIONS, segmentation

__all__ = [
    "SECONDARY_CAPTURE",
    "SEGMENTATIONS",
    "Algorithm",
    "measurement_report",
    "secondary_capture",
    "segmentation",
    "write",
]
