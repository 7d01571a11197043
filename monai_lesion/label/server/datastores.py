"""Where a server keeps images and labels, with labels that are checked before they are kept."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException

from monai_lesion.errors import ImageError
from monai_lesion.images.reading import frame_count, image_size
from monai_lesion.label.labels import check_label
from monai_lesion.label.server.answers import refusals

logger = logging.getLogger(__name__)

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".nii", ".nii.gz", ".nrrd", ".mha")
EXTENSIONS = [f"*{ending}" for ending in ENDINGS]


class LesionArchive(DICOMWebDatastore):  # type: ignore[misc]
    """The series of a DICOMweb server; labels stay in this computer's cache.

    MONAI Label 0.8.5 sends a final label to the archive as a DICOM SEG made by dcmqi, which fails for ultrasound: its
    pictures have no position in the patient.
    """

    def get_image_uri(self, image_id: str) -> str:
        """The file of a series in the cache, fetched on first use."""
        try:
            return str(super().get_image_uri(image_id))
        except IndexError as error:  # of the first of no answers
            raise ImageNotFoundException(f"Image {image_id} not found") from error
        except RuntimeError as error:  # SimpleITK's, of pictures of several sizes
            rule, fix = "must be a series that ITK reads as one image", "Serve a folder of its files instead"
            raise ImageError(image_id, rule, got="one that it does not", fix=fix) from error

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: Any, label_id: str = ""
    ) -> str:
        """Keep the label in the cache."""
        self.get_image_uri(image_id)  # fetches it, for a label belongs to an image of the cache
        return str(LocalDatastore.save_label(self, image_id, label_filename, label_tag, label_info))

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """The label's file in the cache."""
        return str(LocalDatastore.get_label_uri(self, label_id, label_tag))

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The series that have a final label in the cache."""
        return list(LocalDatastore.get_labeled_images(self, label_tag, labels))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The other series of the archive."""
        labelled = set(self.get_labeled_images(label_tag, labels))
        return [series for series in self.list_images() if series not in labelled]

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Image and label files for a training."""
        return list(LocalDatastore.datalist(self, full_path))


def checked(store: Datastore) -> Datastore:
    """A datastore that refuses images and labels that cannot be used, whatever its kind."""
    add_image, save_label = store.add_image, store.save_label

    def add_checked(image_id: str, image_filename: str, image_info: Any) -> str:
        with refusals():
            frame_count(image_filename)
            image_size(image_filename)
        return str(add_image(image_id, image_filename, image_info))

    def save_checked(image_id: str, label_filename: str, label_tag: str, label_info: Any, *more: Any) -> str:
        with refusals():
            image = store.get_image_uri(image_id)
            if Path(image).is_file():
                check_label(image, label_filename, empty=label_tag != DefaultLabelTag.FINAL)
            return str(save_label(image_id, label_filename, label_tag, label_info, *more))

    store.add_image, store.save_label = add_checked, save_checked
    return store
