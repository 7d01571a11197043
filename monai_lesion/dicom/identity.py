"""Say who made an object, about whom, and under which identifier: the same result is always the same object.

::

    source --required patient and study attributes--+
                                                    +-- object -- hash -- its identifier
    source, algorithm -- series, tracking ----------+

Nothing in an object depends on when or where it was made. So a second run makes it again byte for byte, an archive
keeps one of the two, and no identifier ever names two contents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

from monai_lesion._version import NOTICE
from monai_lesion.dicom.sources import SINGLE_FRAME_ULTRASOUND, SourceFrame, value_of
from monai_lesion.dicom.texts import date_of, joined, text_of, time_of
from monai_lesion.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

MANUFACTURER = "monai_lesion"
SCHEME = "99MONAILESION"  # of private codes
SERIES_OFFSETS = {"SEG": 1, "SR": 2, "SC": 3, "LABELMAP": 4}

# What DICOM requires of the Patient and General Study modules (PS3.3, C.7.1.1 and C.7.2.1), and nothing more.
IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
MOMENTS = ("Content", "Acquisition", "Series", "Study")  # of the source, the nearest to its picture first
LONGEST_NAME = 64  # characters of a Long String (PS3.5, 6.2)
# Methods of the transfer syntaxes that may lose something (PS3.3, C.7.6.1.1.5.1), and those that always do.
LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}
ALWAYS_LOSSY = ("ISO_10918_1",)
NO_DATE, NO_TIME = "19000101", "000000"


@dataclass(frozen=True)
class Algorithm:
    """The algorithm that made a result.

    Args:
        name: name of the network, such as "Lighter U-net @128".
        version: version of this package.
        weights: the ``weights_id`` of :func:`monai_lesion.networks.identity.weights_id`, in hexadecimal digits.
        bundle_version: version of the bundle that the network came from; empty without one.
        settings: everything else that decides the mask, such as the threshold or the crop.

    Raises:
        InputError: for an empty or overlong text, or one that DICOM cannot hold.

    Example:
        >>> Algorithm("Lighter U-net @128", "0.1.0", "9f86d081884c7d65", bundle_version="0.2.0").version_text
        '0.1.0 (bundle 0.2.0, weights 9f86d081884c)'
    """

    name: str
    version: str
    weights: str
    bundle_version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, longest in (("name", LONGEST_NAME), ("version", 16), ("weights", 128), ("bundle_version", 16)):
            text = getattr(self, name)
            if (not text and name != "bundle_version") or len(text) > longest:
                raise InputError(f"algorithm {name}", f"must have 1 to {longest} characters", got=repr(text))
        for text in (
            self.name,
            self.version,
            self.weights,
            self.bundle_version,
            *self.settings,
            *self.settings.values(),
        ):
            if not re.fullmatch(r"[ -\[\]-~]*", text):
                rule = "must be printable ASCII without a backslash, which separates values in DICOM"
                raise InputError("algorithm", rule, got=repr(text))

    @property
    def version_text(self) -> str:
        """Version, bundle version and the start of the hash, short enough for one DICOM text."""
        bundle = f"bundle {self.bundle_version}, " if self.bundle_version else ""
        return f"{self.version} ({bundle}weights {self.weights[:12]})"

    @property
    def parameters(self) -> dict[str, str]:
        """Everything but name and version, in a fixed order."""
        bundle = {"bundle_version": self.bundle_version} if self.bundle_version else {}
        return {**bundle, "weights_id": self.weights, **dict(sorted(self.settings.items())), "notice": NOTICE}

    @property
    def key(self) -> str:
        """Everything, for identifiers."""
        return json.dumps([self.name, self.version, self.parameters])


def short_name(network: str) -> str:
    """Shorten the words for a network to the 64 characters that DICOM has for the name of an algorithm.

    Example:
        >>> short_name("U-net"), len(short_name("EncoderUNet(" + 80 * "x" + ")"))
        ('U-net', 64)
    """
    return network if len(network) <= LONGEST_NAME else f"{network[: LONGEST_NAME - 3]}..."


def stable_uid(*parts: object) -> UID:
    """Derive an identifier from its parts.

    Example:
        >>> stable_uid("series", "1.2.3") == stable_uid("series", "1.2.3") != stable_uid("series", "1.2.4")
        True
    """
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[json.dumps(["monai_lesion", *map(str, parts)])])


def stand_in(source: SourceFrame) -> Dataset:
    """The source as highdicom shall see it: a single ultrasound image of nobody.

    highdicom copies the whole Patient and General Study modules and the scanner's institution, logs names that it finds
    odd, raises KeyError for the retired classes, and takes no frame of a cine. :func:`seal` puts back what is true.
    """
    from pydicom import Dataset

    dataset = Dataset()
    dataset.SOPClassUID = SINGLE_FRAME_ULTRASOUND
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns"):
        setattr(dataset, keyword, source.header[keyword].value)
    for keyword in IDENTITY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    dataset.Modality = "US"
    dataset.update(lossy_compression(source))
    return dataset


def lossy_compression(source: SourceFrame) -> Dataset:
    """What a derived picture has to say of the source's lossy compression (PS3.3, C.7.6.1.1.5)."""
    from pydicom import Dataset

    dataset, header = Dataset(), source.header
    method = LOSSY.get(str(value_of(getattr(header, "file_meta", None) or Dataset(), "TransferSyntaxUID") or ""))
    said = value_of(header, "LossyImageCompression")
    # Of a file in JPEG Baseline nothing else is possible; of the others, what the header does not deny.
    lossy = said == "01" or method in ALWAYS_LOSSY or (method is not None and said != "00")
    dataset.LossyImageCompression = "01" if lossy else "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        value = value_of(header, keyword) if said == "01" else None
        if value and all(re.fullmatch(r"[A-Z0-9_ .+\-]{1,16}", each) for each in joined(value).split("\\")):
            setattr(dataset, keyword, value)
    if said != "01" and lossy:
        dataset.LossyImageCompressionMethod = method
    return dataset


def series_of(header: Dataset, algorithm: Algorithm, kind: str) -> UID:
    """The series of an algorithm's results of one kind, from one series of pictures.

    Args:
        header: of a picture.
        algorithm: what makes the results.
        kind: a key of ``SERIES_OFFSETS``.
    """
    return stable_uid("series", kind, header.SeriesInstanceUID, algorithm.key)


def creation(source: SourceFrame, algorithm: Algorithm, kind: str) -> dict[str, Any]:
    """Series, numbers, equipment and dates of a result, as highdicom's constructors name them.

    The dates are those of the source: with the day of the run, the same content would become another object.
    """
    date, time = moment(source.header)
    return {
        "series_instance_uid": series_of(source.header, algorithm, kind),
        "series_number": source.series_number % 1_000_000 * 100 + SERIES_OFFSETS[kind],
        "sop_instance_uid": stable_uid("unsealed"),
        "instance_number": source.instance_number,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": algorithm.version_text,
        "device_serial_number": algorithm.weights[:64],
        "content_date": date,
        "content_time": time,
    }


def tracking(source: SourceFrame, algorithm: Algorithm, *part: str) -> tuple[str, UID]:
    """Name and identifier of the lesion, by which SEG and SR are known to mean the same.

    Args:
        source: where it was found.
        algorithm: what found it.
        *part: of several groups of measurements of the lesion, which: viewers take groups of one identifier for one,
            and show only the first of their drawings.
    """
    return "Lesion 1", stable_uid("lesion", source.header.SOPInstanceUID, source.frame, algorithm.key, *part)


def seal(dataset: Dataset, source: SourceFrame) -> Dataset:
    """Give an object its patient, true references to the source, and an identifier made of its content.

    Args:
        dataset: as highdicom made it of the :func:`stand_in`; it is used up.
        source: the true source.

    Returns:
        A plain dataset as a reader of its file finds it, so that it is encoded once: what nobody asks for is written
        as it stands.
    """
    from pydicom import Dataset
    from pydicom.filebase import DicomFileLike
    from pydicom.filereader import read_dataset
    from pydicom.filewriter import write_dataset

    made = Dataset()
    made.update(dataset)
    # When and with which library the object was made would make another object of the same content.
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence"):
        if keyword in made:
            del made[keyword]
    made.update(identity(source.header))
    for item in _items(made):
        # Else each item is searched for ambiguous VRs again, with all below it; the search from the top finds them all.
        item.set_original_encoding(False, True, made.original_character_set)
        if item.get("ReferencedSOPInstanceUID") == source.header.SOPInstanceUID:
            item.ReferencedSOPClassUID = source.header.SOPClassUID

    content = BytesIO()
    encoded = DicomFileLike(content)
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, made)
    sealed = read_dataset(BytesIO(content.getvalue()), is_implicit_VR=False, is_little_endian=True)
    sealed.file_meta, sealed.preamble = dataset.file_meta, b"\0" * 128
    sealed.SOPInstanceUID = stable_uid("object", sha256(content.getvalue()).hexdigest())
    sealed.file_meta.MediaStorageSOPInstanceUID = sealed.SOPInstanceUID
    return sealed


def replaced_images(replaces: Iterable[Dataset], what: str) -> list[Dataset]:
    """The items of a Referenced Image Sequence that name earlier objects as replaced.

    Args:
        replaces: the earlier objects; of each its class and identifier are read.
        what: what they are, as in ``"Segmentation"``.
    """
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

    items = []
    for earlier in replaces:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = earlier.SOPClassUID, earlier.SOPInstanceUID
        item.PurposeOfReferenceCodeSequence = [CodedConcept("REPLACED", SCHEME, f"{what} that this one replaces")]
        items.append(item)
    return items


def identity(header: Dataset) -> Dataset:
    """The patient and study attributes that DICOM requires, repaired, absent ones empty.

    Text is written in UTF-8 unless it is plain ASCII, whatever the source's character set.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.StudyTime, header.PatientID, header.PatientComments = "11:20:00", "17", "a name"
        >>> found = identity(header)
        >>> found.StudyTime, found.PatientID, "PatientComments" in found
        ('112000', '17', False)
    """
    from pydicom import Dataset, config

    found = Dataset()
    values = {keyword: text_of(header, keyword) for keyword in IDENTITY}
    with config.disable_value_validation():  # its warnings quote values, and end in logs
        for keyword, value in values.items():
            if keyword.endswith("Date"):
                value = date_of(value)
            elif keyword.endswith("Time"):
                value = time_of(value)
            elif keyword == "PatientSex" and value not in ("M", "F", "O"):
                value = ""
            setattr(found, keyword, value)
    if not "".join(values.values()).isascii():
        found.SpecificCharacterSet = "ISO_IR 192"
    return found


def moment(header: Dataset) -> tuple[str, str]:
    """Date and time of the source's picture; the first of 1900 when it has none."""
    for name in MOMENTS:
        if date := date_of(text_of(header, f"{name}Date")):
            return date, time_of(text_of(header, f"{name}Time")) or NO_TIME
    return NO_DATE, NO_TIME


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset and every item in its sequences."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _items(item)
