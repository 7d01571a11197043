"""One frame of a DICOM file as 8-bit RGB, under pydicom 2.4 and 3."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images.calibration import Calibration, calibration_of
from monai_lesion.images.codestreams import endings, has_end, misleads, stored_colours, with_colours
from monai_lesion.images.dicom_files import GREY, JPEG, JPEG_2000, JPEG_LS, NATIVE, RLE, DicomFile
from monai_lesion.images.dicom_headers import DEFLATED, EXPLICIT, unquoted, value_of, warn_once
from monai_lesion.images.pictures import to_rgb
from monai_lesion.images.silence import quiet
from monai_lesion.images.stored_values import Stored, stored_values, to_grey, used_bits

START = 132  # bytes: a preamble of 128, then "DICM"
BARE_STARTS = frozenset((2, element) for element in (0, 1, 2, 16)) | frozenset(
    (8, element) for element in (0, 1, 5, 8, 0x12, 0x16, 0x18)
)
# The module that each decoder of pydicom needs, and its name under pydicom 2.
MODULES = {"pillow": "PIL", "pylibjpeg": "openjpeg", "pyjpegls": "jpeg_ls", "gdcm": "gdcm"}
HANDLERS = {"pyjpegls": "jpeg_ls"}

Frame = tuple[NDArray[np.uint8], Calibration, "int | None"]


def is_dicom(path: str | Path) -> bool:
    """Whether the file carries DICOM's preamble, or begins as a data set that was written without one."""
    with open(path, "rb") as file:
        return is_dicom_start(file.read(START))


def is_dicom_start(head: bytes) -> bool:
    """As :func:`is_dicom`, of the first ``START`` bytes of a file."""
    if head[128:] == b"DICM":
        return True
    tag = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    explicit = head[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"SH")
    return len(head) == START and tag in BARE_STARTS and (explicit or head[6:8] == b"\0\0")


def is_whole(number: object) -> bool:
    """Whether something is a whole number, also numpy's, and not true or false."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def read_frame(opened: DicomFile, frame: int | None, *, first: bool = False) -> Frame:
    """Read one frame.

    Args:
        opened: a DICOM file.
        frame: its index, from 0; a cine needs one.
        first: take the first frame of a cine, with a warning, when ``frame`` is None.

    Returns:
        ``(H, W, 3)`` RGB, what the header says of millimetres, and the frame's index in a cine.

    Raises:
        ImageError: when the file is damaged, no image, or has no such frame.
    """
    file = opened.path
    if opened.frames > 1 and frame is None:
        if not first:
            got, fix = f"{opened.frames} frames", "Name a frame, counted from 0"
            raise ImageError(file, "a cine needs a frame number", got=got, fix=fix)
        warnings.warn(f"{file}: a cine of {opened.frames} frames; only its first frame is used", stacklevel=2)
    if frame is not None and not (is_whole(frame) and 0 <= frame < opened.frames):
        raise ImageError(file, f"frame must be between 0 and {opened.frames - 1}", got=frame)
    pixels = _pixels(opened, frame or 0)
    if str(value_of(opened.header, "BurnedInAnnotation") or "").strip().upper() == "YES":
        warn_once(f"{file}: BurnedInAnnotation is YES, and text in the picture is not removed")
    with quiet():
        calibration = calibration_of(opened.header)
    if calibration.refused:
        warn_once(f"{file}: calibration refused: {calibration.refused}")
    return pixels, calibration, (frame or 0) if opened.frames > 1 else None


def _pixels(file: DicomFile, frame: int) -> NDArray[np.uint8]:
    data = file.frame(frame)
    try:
        with quiet():
            native = file.syntax in (*NATIVE, RLE)
            return _rgb(file, _decode(file, data) if native or has_end(data) else _unended(file, data, frame))
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds; each means the same to the user
        fix = "Check the file with another viewer, or export it again"
        which = f"frame {frame} must" if file.frames > 1 else "must"
        raise ImageError(
            file.path, f"{which} be a readable DICOM image", got=unquoted(file.header, error), fix=fix
        ) from error


def _decode(file: DicomFile, data: bytes) -> NDArray[Any]:
    """The numbers of one frame; colour as RGB."""
    partial = file.photometric == "YBR_PARTIAL_422"
    photometric = "YBR_FULL_422" if partial else file.photometric
    if file.samples == 3 and file.syntax in JPEG[:2] and not partial:
        data, photometric = _true_colours(file, data)
    image = _single(file, data, photometric)
    plugin = "" if file.syntax in (*NATIVE, RLE) else _plugin(file)
    if plugin == "gdcm":
        _check_depth(file)
    try:
        from pydicom.pixels import pixel_array
    except ImportError:  # pydicom 2 leaves YBR as it is
        from pydicom.pixel_data_handlers.util import convert_color_space

        if plugin:
            image.convert_pixel_data(HANDLERS.get(plugin, plugin))
        array = np.asarray(image.pixel_array)
        if photometric in ("YBR_FULL", "YBR_FULL_422") and not partial:
            array = np.asarray(convert_color_space(array, photometric, "RGB"))
    else:
        array = np.asarray(pixel_array(image, index=0, decoding_plugin=plugin, raw=partial))
    array = array[:, : file.columns]  # without the half pair at the end of an odd row
    if array.shape[:2] != (file.rows, file.columns):
        raise ValueError(f"a picture of {array.shape[0]} x {array.shape[1]}")
    return _from_partial(array) if partial else array


def _true_colours(file: DicomFile, data: bytes) -> tuple[bytes, str]:
    """A JPEG and its photometric interpretation as its own markers tell it, which the header may get wrong."""
    labelled, told = "RGB" if file.photometric == "RGB" else "YBR", stored_colours(data)
    if told and told != labelled:
        warn_once(f"{file.path}: the header says {file.photometric}, but the JPEG holds {told}, and is read so")
    if labelled == "YBR" and told != "RGB" and not misleads(data):
        return data, file.photometric
    return with_colours(data, told or labelled), "RGB"  # which the decoder makes of either


def _unended(file: DicomFile, data: bytes, frame: int) -> NDArray[Any]:
    """The numbers of a JPEG frame without an end marker, if it is whole."""
    try:
        first, *others = [_decode(file, each) for each in endings(data)]
        whole = all(np.array_equal(first, other) for other in others)
    except Exception as error:  # what was cut off need not decode at all
        raise file.damaged(frame, "compressed data cut off") from error
    if not whole:
        raise file.damaged(frame, "compressed data cut off")
    warn_once(f"{file.path}: the compressed data has no end marker; the picture is whole")
    return first


def _single(file: DicomFile, data: bytes, photometric: str) -> Any:
    """The frame as an image of its own, without anything of a patient."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    native = file.syntax in NATIVE
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(EXPLICIT if file.syntax == DEFLATED else file.syntax)
    image.is_little_endian = file.header.is_little_endian
    image.is_implicit_VR = file.header.is_implicit_VR
    image.Rows, image.Columns, image.NumberOfFrames = file.rows, file.row_columns, 1
    image.SamplesPerPixel, image.PhotometricInterpretation = file.samples, photometric
    # Of uncompressed words all bits are wanted; which of them count is seen to later.
    image.BitsAllocated, image.BitsStored = file.bits, file.bits if native or file.syntax == RLE else file.stored
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(value_of(file.header, "PixelRepresentation") or 0)
    if file.samples > 1:
        image.PlanarConfiguration = int(value_of(file.header, "PlanarConfiguration") or 0)
    word = native and (file.bits > 8 or file.syntax == NATIVE[0])
    image.add_new(
        "PixelData", "OW" if word else "OB", data + b"\0" * (len(data) % 2) if native else encapsulate([data])
    )
    image["PixelData"].is_undefined_length = not native
    return image


def _plugin(file: DicomFile) -> str:
    """The decoder: the same whatever else is installed, so that a file gives the same pixels everywhere."""
    if file.syntax in JPEG[:2]:
        names = ("pillow", "gdcm") if file.bits == 8 else ("gdcm",)
    elif file.syntax in JPEG_LS:
        names = ("gdcm", "pyjpegls")
    else:
        names = ("pylibjpeg", "gdcm") if file.syntax in JPEG_2000 else ("gdcm",)
    for name in names:
        if find_spec(MODULES[name]) is not None:
            return name
    fix = "pip install python-gdcm pylibjpeg pylibjpeg-openjpeg"
    raise ImageError(file.path, "must have a decoder for its transfer syntax", got="none installed", fix=fix)


def _check_depth(file: DicomFile) -> None:
    """Refuse the depths that gdcm gets wrong without an error; pydicom 3 does so itself, pydicom 2 does not."""
    if file.syntax == JPEG[1] and file.stored != 8:
        raise ValueError(f"lossy JPEG with {file.stored}-bit precision, which gdcm does not decode")
    signed = bool(value_of(file.header, "PixelRepresentation"))
    if file.syntax in JPEG_LS and (file.stored in (6, 7) or (signed and file.stored < 8)):
        raise ValueError(f"JPEG-LS with {file.stored}-bit precision, which gdcm does not decode")


def _from_partial(ybr: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB of video levels.

    Source:
        DICOM PS3.3, C.7.6.3.1.2 in its edition of 2004, YBR_PARTIAL_422: black is 16, white 235; ITU-R BT.601.
    """
    luma, blue, red = (ybr[..., i].astype(np.float64) for i in range(3))
    luma, blue, red = (luma - 16) * (255 / 219), (blue - 128) * (255 / 224), (red - 128) * (255 / 224)
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    return np.asarray(np.clip(rgb + 0.5, 0, 255)).astype(np.uint8)


def _rgb(file: DicomFile, array: NDArray[Any]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 of one decoded frame."""
    # A compressed picture says itself how many bits it has, and its decoder puts them in place.
    placed = file.syntax in (*NATIVE, RLE) and array.dtype.kind in "iu" and file.bits > 1
    stored = stored_values(file.header, array, file.stored) if placed else Stored(array, file.stored)
    note = ""
    if file.photometric == "PALETTE COLOR":
        try:
            from pydicom.pixels import apply_color_lut
        except ImportError:  # pydicom 2
            from pydicom.pixel_data_handlers.util import apply_color_lut
        colours = apply_color_lut(stored.values, file.header)
        pixels = to_rgb((colours >> (8 if colours.max() > 255 else 0)).astype(np.uint8))
    elif file.photometric in GREY:
        grey, note = to_grey(file.header, stored)
        pixels = to_rgb(255 - grey if file.photometric == "MONOCHROME1" else grey)
    else:
        colours = stored.values
        bits = used_bits(stored)
        pixels = to_rgb(colours if colours.dtype == np.uint8 else (colours >> max(bits - 8, 0)).astype(np.uint8))
    for each in filter(None, (stored.note, note)):
        warn_once(f"{file.path}: {each}")
    return pixels
