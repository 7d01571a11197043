"""Headers that claim too much, name other files, or whose data are cut off; and honest ones of every encoding."""

from __future__ import annotations

import gzip
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images import limits
from monai_lesion.images.reading import image_size, read_image, read_mask

PIXELS = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
META = """ObjectType = Image
NDims = 2
BinaryData = True
CompressedData = {compressed}
DimSize = {size}
ElementType = {type}
ElementDataFile = {data}
"""
NRRD = "NRRD0004\n# made by hand\ntype: {type}\ndimension: 2\nsizes: {size}\nencoding: {encoding}\n{more}"


def meta(path: Path, content: bytes = b"", **changes: object) -> Path:
    values = {"compressed": False, "size": "30 20", "type": "MET_UCHAR", "data": "LOCAL", **changes}
    path.write_bytes(META.format(**values).encode() + content)
    return path


def packed(path: Path, content: bytes, told: int | None = None, **changes: object) -> Path:
    length = len(content) if told is None else told
    return meta(path, content, compressed=f"True\nCompressedDataSize = {length}", **changes)


def nrrd(path: Path, content: bytes = b"", **changes: object) -> Path:
    values = {"type": "uchar", "size": "30 20", "encoding": "raw", "more": "", **changes}
    path.write_bytes(NRRD.format(**values).encode() + b"\n" + content)
    return path


def nifti(path: Path, shape: tuple[int, ...], content: bytes, *, kind: type = np.uint8, offset: float = 352) -> Path:
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(kind)
    raw = bytearray(header.binaryblock)
    raw[108:112] = struct.pack("<f", offset)
    data = bytes(raw) + b"\0" * 4 + content
    path.write_bytes(gzip.compress(data, 1) if path.name.endswith(".gz") else data)
    return path


def text(values: np.ndarray) -> bytes:
    return " ".join(map(str, values.ravel())).encode()


RAW = PIXELS.tobytes()
HONEST = {
    "MHA": lambda f: meta(f / "a.mha", RAW),
    "MHA compressed": lambda f: packed(f / "a.mha", zlib.compress(RAW)),
    "MHD beside": lambda f: (f.joinpath("a.raw").write_bytes(RAW), meta(f / "a.mhd", data="a.raw"))[1],
    "NRRD": lambda f: nrrd(f / "a.nrrd", RAW),
    "NRRD compressed": lambda f: nrrd(f / "a.nrrd", gzip.compress(RAW), encoding="gzip"),
    "NRRD as text": lambda f: nrrd(f / "a.nrrd", text(PIXELS), encoding="ascii"),
    "NRRD beside": lambda f: (f.joinpath("a.raw").write_bytes(RAW), nrrd(f / "a.nrrd", more="data file: a.raw\n"))[1],
    "NIfTI": lambda f: nifti(f / "a.nii", (30, 20), RAW),
    "NIfTI compressed": lambda f: nifti(f / "a.nii.gz", (30, 20), RAW),
}


def _replaced(file: Path, old: bytes, new: bytes) -> Path:
    file.write_bytes(file.read_bytes().replace(old, new))
    return file


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_file_is_read(kind: str, tmp_path: Path) -> None:
    file = HONEST[kind](tmp_path)
    np.testing.assert_array_equal(read_image(file).pixels[..., 0], PIXELS)
    np.testing.assert_array_equal(read_mask(file), PIXELS > 0)
    assert image_size(file) == (20, 30)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float32", "float64", "colours"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_what_itk_writes_is_read(suffix: str, kind: str, compressed: bool, tmp_path: Path) -> None:
    colours = kind == "colours"
    array = np.repeat(PIXELS[..., None], 3, 2) if colours else PIXELS.astype(kind)
    picture = itk.image_from_array(np.ascontiguousarray(array), is_vector=colours)
    itk.imwrite(picture, str(tmp_path / f"a{suffix}"), compression=compressed)
    assert image_size(tmp_path / f"a{suffix}") == (20, 30)
    np.testing.assert_array_equal(read_mask(tmp_path / f"a{suffix}"), PIXELS > 0)


ELSEWHERE = ["/etc/hostname", "../secret.raw", "sub/secret.raw", "..", "", "LIST", "LIST 2", "a%d.raw 1 2 1", "C:a.raw",
             "absent.raw", "pipe", "link.raw"]  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nrrd"])
def test_a_header_cannot_name_data_elsewhere(name: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    for place in ("secret.raw", "folder/sub/secret.raw"):
        (tmp_path / place).write_bytes(RAW)
    os.mkfifo(tmp_path / "folder" / "pipe")
    (tmp_path / "folder" / "link.raw").symlink_to(tmp_path / "secret.raw")
    file = tmp_path / "folder" / f"a{suffix}"
    made = nrrd(file, more=f"datafile: {name}\n") if suffix == ".nrrd" else meta(file, data=name)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=rf"a{suffix}: must be a readable .*, got .*(data|size)"):
            read(made)


@pytest.mark.parametrize(
    "header",
    [
        b"ObjectType = Image\nElementDataFile = LOCAL\nElementDataFile = /etc/hostname\nNDims = 2\n",
        b"ObjectType = Image\nDimSize = 30 20\nDimSize = 90000 90000\nElementDataFile = LOCAL\n",
        b"ObjectType = Image\x1b[2J\nElementDataFile = LOCAL\n",
        b"ObjectType = Image\n" * 9000,
    ],
)
def test_a_header_that_two_readers_could_read_in_two_ways_is_refused(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(header + RAW)
    with pytest.raises(ImageError, match=r"a\.mha: must be a readable") as caught:
        read_image(tmp_path / "a.mha")
    assert str(caught.value).isprintable()


BOMBS = {
    "NIfTI of 21 GB": lambda f: nifti(f / "a.nii.gz", (32000, 32000), b"", kind=np.float64),
    "NIfTI of 6 axes": lambda f: nifti(f / "a.nii", (32000,) * 6, b""),
    "NIfTI that begins late": lambda f: nifti(f / "a.nii", (30, 20), RAW, offset=2e9),
    "NIfTI that begins nowhere": lambda f: nifti(f / "a.nii", (30, 20), RAW, offset=float("nan")),
    "NIfTI that lies of its stream": lambda f: nifti(f / "a.nii.gz", (8000, 8000), b"few"),
    "NIfTI cut off": lambda f: nifti(f / "a.nii", (30, 20), RAW[:-1]),
    "NRRD of 3.6 GB": lambda f: nrrd(f / "a.nrrd", b"few", size="60000 60000"),
    "NRRD that lies of its file": lambda f: nrrd(f / "a.nrrd", b"few", size="8000 8000"),
    "NRRD that lies of its stream": lambda f: nrrd(f / "a.nrrd", gzip.compress(b"a"), size="8000 8000", encoding="gz"),
    "NRRD of many digits": lambda f: nrrd(f / "a.nrrd", RAW, size="9" * 4000),
    "NRRD of no size": lambda f: nrrd(f / "a.nrrd", RAW, size="-30 20"),
    "NRRD of text": lambda f: nrrd(f / "a.nrrd", b"1 2", encoding="ascii"),
    "NRRD of bzip2": lambda f: nrrd(f / "a.nrrd", RAW, encoding="bzip2"),
    "MHA of 10 GB": lambda f: meta(f / "a.mha", RAW, size="100000 100000"),
    "MHA that lies of its file": lambda f: meta(f / "a.mha", RAW, size="8000 8000"),
    "MHA that lies of its stream": lambda f: packed(f / "a.mha", zlib.compress(RAW), size="8000 8000"),
    "MHA of a strange type": lambda f: meta(f / "a.mha", RAW, type="MET_STRING"),
    "MHA of a long stream": lambda f: packed(f / "a.mha", zlib.compress(RAW), 99999999999),
    "MHA of a short stream": lambda f: packed(f / "a.mha", zlib.compress(RAW), 40),
    "MHA of a stream without a size": lambda f: meta(f / "a.mha", zlib.compress(RAW), compressed=True),
    "MHA of no stream": lambda f: packed(f / "a.mha", RAW),
    "MHA as text": lambda f: _replaced(meta(f / "a.mha", text(PIXELS)), b"BinaryData = True", b"BinaryData = False"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_what_a_header_claims_is_checked_before_memory_is_taken(kind: str, tmp_path: Path) -> None:
    file = BOMBS[kind](tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_image, read_mask):
        with pytest.raises(ImageError, match=rf"{file.name}: must be a readable NIfTI, NRRD or MHA file, got \w"):
            read(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_stream_is_inflated_no_further_than_its_header_says(tmp_path: Path) -> None:
    """A small file that would become 160 MB, of which the picture is the first 600 bytes."""
    bomb = zlib.compressobj(1, wbits=31)
    head = HONEST["NIfTI"](tmp_path).read_bytes()
    data = bomb.compress(head) + b"".join(bomb.compress(b"\0" * 2**22) for _ in range(40)) + bomb.flush()
    (tmp_path / "bomb.nii.gz").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.testing.assert_array_equal(read_image(tmp_path / "bomb.nii.gz").pixels[..., 0], PIXELS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_the_limits_hold_for_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [HONEST[kind](tmp_path) for kind in ("NIfTI", "NIfTI compressed", "NRRD", "MHA")]
    monkeypatch.setattr(limits, "MAX_PIXELS", 500)
    for file in files:
        with pytest.raises(ImageError, match="must have at most 500 pixels, got 20 x 30"):
            read_image(file)
    monkeypatch.setattr(limits, "MAX_BYTES", 500)
    for file in files:
        with pytest.raises(ImageError, match="above the limits of 500 pixels and 500 bytes"):
            read_image(file)


@pytest.mark.parametrize("spacing", [float("inf"), float("nan")])
def test_a_geometry_that_is_not_finite_is_refused(spacing: float, tmp_path: Path) -> None:
    file = HONEST["NIfTI"](tmp_path)
    data = bytearray(file.read_bytes())
    data[80:84] = struct.pack("<f", spacing)
    file.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="geometry that is not finite"):
        read_image(file)


def test_the_name_of_a_format_does_not_open_another_reader(tmp_path: Path) -> None:
    itk.imwrite(itk.image_from_array(PIXELS), str(tmp_path / "a.png"))
    for suffix in (".mha", ".nrrd", ".nii"):
        (tmp_path / f"a{suffix}").write_bytes((tmp_path / "a.png").read_bytes())
        with pytest.raises(ImageError, match="must be a readable NIfTI, NRRD or MHA file"):
            read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("name", ["pipe", "device", "folder", "loop", "dangling"])
def test_what_is_no_regular_file_is_named_and_never_read(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for link, target in (("device", "/dev/zero"), ("loop", "loop"), ("dangling", "nowhere")):
        (tmp_path / link).symlink_to(target)
    said = {
        "pipe": "a pipe",
        "device": "a device",
        "folder": "a folder",
        "loop": "symbolic links",
        "dangling": "a link to nothing",
    }
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=f"{name}: must be an existing file, got .*{said[name]}"):
            read(tmp_path / name)


@pytest.mark.slow
def test_a_bomb_does_not_take_the_batch_with_it(tmp_path: Path) -> None:
    """With a gigabyte of address space beyond what the program has, the good picture beside the bomb is segmented."""
    from PIL import Image

    (tmp_path / "scans").mkdir()
    Image.fromarray(PIXELS.repeat(4, 0).repeat(4, 1)).save(tmp_path / "scans" / "good.png")
    bomb = zlib.compressobj(9, wbits=31)
    nifti(tmp_path / "head.nii", (32000, 32000), b"", kind=np.float64)
    data = bomb.compress((tmp_path / "head.nii").read_bytes())
    data += b"".join(bomb.compress(b"\0" * 2**24) for _ in range(60)) + bomb.flush()
    (tmp_path / "scans" / "bomb.nii.gz").write_bytes(data)
    command = ["bash", "-c", 'ulimit -v 8000000; exec "$@"', "sh", sys.executable, "-m", "monai_lesion", "predict"]
    done = subprocess.run([*command, "scans", "--output", "out"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "bomb.nii.gz: must be a readable" in done.stderr
    assert (tmp_path / "out" / "good.png").is_file()


@pytest.mark.parametrize("size", ["30", "30 20 1"])
def test_sizes_that_are_not_as_many_as_the_dimensions_are_refused_before_itk_sees_them(
    size: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImageError, match="sizes of 2 dimensions"):
        read_image(meta(tmp_path / "a.mha", PIXELS.tobytes(), size=size))
    assert capfd.readouterr().err == ""
