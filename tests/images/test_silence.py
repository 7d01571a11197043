"""Not a word of a library about what a file says, at any level of the log."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from monai_lesion.images.silence import quiet

NAME = "Planted"

READ = """
import logging, sys
logging.basicConfig(level="DEBUG")
from pathlib import Path
from monai_lesion.errors import InputError
from monai_lesion.images.reading import image_size, read_image, read_mask
for read in (image_size, read_image, read_mask):
    for file in sys.argv[1:]:
        try:
            read(Path(file))
        except InputError as error:
            print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", ["pydicom", "PIL.TiffImagePlugin", "nibabel.global", "highdicom.seg", "pylibjpeg"])
def test_libraries_are_silent_within_and_heard_again_afterwards(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "filters", [])  # a listener of an earlier test keeps its own on pydicom's
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            logger.debug(NAME)
            warnings.warn(NAME, stacklevel=1)
        assert not caplog.messages
        assert not seen
        logger.warning("heard")
    assert caplog.messages == ["heard"]


def test_a_logger_that_a_library_makes_within_is_silent_too(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    logging.getLogger("highdicom")
    with quiet():
        logger = logging.getLogger("highdicom.of_a_module_of_this_test")  # as a first import within does
        logger.info(NAME)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # of nobody who logs, Python prints warnings
        logger.warning(NAME)
    monkeypatch.undo()
    logger.warning("heard")
    assert caplog.messages == ["heard"]
    assert NAME not in capsys.readouterr().err


def test_other_loggers_are_heard_within(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        logging.getLogger("monai_lesion.of.a.test").warning("ours")
        logging.getLogger("pydicomatic").warning("another's")
    assert caplog.messages == ["ours", "another's"]


def test_threads_that_overlap_let_no_warning_through_and_leave_the_filters_as_they_were() -> None:
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with quiet():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with quiet():
            second_in.set()
            first_out.wait(10)
            warnings.warn(NAME, stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=each) for each in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not seen
        warnings.warn("heard", stacklevel=1)
    assert [str(each.message) for each in seen] == ["heard"]


def pictures(folder: Path) -> list[Path]:
    """A picture of each format with a name wherever it has room for text."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24), np.uint8))
    texts, tags, exif = PngImagePlugin.PngInfo(), TiffImagePlugin.ImageFileDirectory_v2(), Image.Exif()
    texts.add_text("Comment", NAME)
    texts.add_itxt("Author", NAME)
    texts.add_text("Description", NAME, zip=True)
    for tag in (
        0x010E,
        0x010F,
        0x0110,
        0x0131,
        0x013B,
        0x8298,
    ):  # description, make, model, software, artist, rights
        tags[tag] = exif[tag] = NAME
    files = {ending: folder / f"a.{ending}" for ending in ("png", "tif", "jpg", "webp", "nii", "nrrd", "mha")}
    picture.save(files["png"], pnginfo=texts, exif=exif)
    picture.save(files["tif"], tiffinfo=tags)
    picture.save(files["jpg"], comment=NAME, exif=exif)
    picture.save(files["webp"], exif=exif, xmp=NAME.encode())
    volume = nibabel.Nifti1Image(np.asarray(picture).T, np.eye(4))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        volume.header[field] = NAME.encode()
    volume.to_filename(files["nii"])
    content = np.asarray(picture).tobytes()
    header = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 24 16\nencoding: raw\ncontent: {NAME}\n{NAME}:={NAME}\n\n"
    files["nrrd"].write_bytes(header.encode() + content)
    header = f"ObjectType = Image\nNDims = 2\nComment = {NAME}\nPatientName = {NAME}\nDimSize = 24 16\n"
    files["mha"].write_bytes(f"{header}ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode() + content)
    return list(files.values())


@pytest.mark.slow
def test_reading_repeats_no_text_of_a_picture_or_volume(tmp_path: Path) -> None:
    """In a process of its own, for loggers are made when a library is first used."""
    files = pictures(tmp_path)
    for file in list(files):
        content = file.read_bytes()
        for number, changed in enumerate(
            (content[: len(content) // 2], content[:-40], content.replace(b"uint8", b"Planted"))
        ):
            files.append(file.with_name(f"cut{number}{file.suffix}"))
            files[-1].write_bytes(changed)
    said = subprocess.run([sys.executable, "-c", READ, *files], capture_output=True, text=True, check=True, timeout=300)
    assert "ImageError" in said.stdout
    assert NAME not in said.stdout + said.stderr
