from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

import monai_lesion.segmentation.batches as module
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_mask
from monai_lesion.images.reading import read_image
from monai_lesion.runtimes.interfaces import Outputs
from monai_lesion.segmentation.batches import AHEAD, segment_files
from monai_lesion.segmentation.segmenters import Segmenter
from tests.images import COLUMNS, ROWS, write_dicom
from tests.segmentation.pictures import red, red_dicom


class Bright(Segmenter):
    """What is bright is lesion; each picture takes a while, or fails, as it is told."""

    crop = False
    settings = MappingProxyType({})
    algorithm = Algorithm("bright", "1", "0")

    def __init__(self, meanwhile=lambda image: None):
        self.meanwhile = meanwhile

    def find(self, image):
        self.meanwhile(image)
        mask = (image.pixels[..., 0] > 127).astype(np.uint8)
        return mask, mask.astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(9):
        pixels = np.zeros((20, 30), np.uint8)
        pixels[number : number + 4, 5:9] = 255
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def test_reading_and_writing_take_place_beside_the_network(folder, tmp_path, monkeypatch):
    threads = {"read": set(), "find": set(), "save": set()}

    def reading(path, frame):
        threads["read"].add(threading.get_ident())
        return read_image(path, frame=frame)

    def writing(mask, *arguments, **options):
        threads["save"].add(threading.get_ident())
        return []

    monkeypatch.setattr(module, "read_image", reading)
    monkeypatch.setattr("monai_lesion.segmentation.results.write_mask", writing)
    segmenter = Bright(lambda image: threads["find"].add(threading.get_ident()))
    assert segment_files(segmenter, folder, tmp_path / "out", progress=False) == 9
    assert [len(each) for each in threads.values()] == [1, 1, 1]
    assert threads["find"] == {threading.get_ident()}
    assert len(set.union(*threads.values())) == 3


def test_the_network_waits_for_neither_the_next_picture_nor_the_last_result(folder, tmp_path, monkeypatch):
    read, begun = ([threading.Event() for _ in range(9)] for _ in range(2))
    alone = []

    def reading(path, frame):
        image = read_image(path, frame=frame)
        read[int(Path(path).stem)].set()
        return image

    def find(image):
        number = int(Path(image.path).stem)
        begun[number].set()
        if number < 8 and not read[number + 1].wait(10):  # read while this one is in the network
            alone.append(f"network {number}")

    def writing(mask, path, **options):
        number = int(path.name)
        if number < 8 and not begun[number + 1].wait(10):  # the next is in the network while this one is written
            alone.append(f"writer {number}")

    monkeypatch.setattr(module, "read_image", reading)
    monkeypatch.setattr("monai_lesion.segmentation.results.write_mask", writing)
    assert segment_files(Bright(find), folder, tmp_path / "out", progress=False) == 9
    assert alone == []


def test_nothing_is_kept_beyond_what_is_under_way(folder, tmp_path, monkeypatch):
    pictures, most = [], []

    def reading(path, frame):
        image = read_image(path, frame=frame)
        pictures.append(weakref.ref(image))
        return image

    monkeypatch.setattr(module, "read_image", reading)
    segmenter = Bright(lambda image: most.append(sum(each() is not None for each in pictures)))
    segment_files(segmenter, folder, tmp_path / "out", progress=False)
    assert len(pictures) == 9
    assert max(most) <= 1 + 2 * (AHEAD + 1)  # in the network; read or being read ahead; waiting or being written
    assert not any(each() is not None for each in pictures)


def test_no_more_than_two_pictures_are_read_ahead(folder, tmp_path, monkeypatch):
    read, ahead = [], []
    monkeypatch.setattr(module, "read_image", lambda path, frame: read.append(path) or read_image(path, frame=frame))

    def wait(image):
        end = time.monotonic() + 10
        while len(read) < min(len(ahead) + 1 + AHEAD, 9) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.02)  # in which more could be read, and must not
        ahead.append(len(read) - len(ahead) - 1)

    segment_files(Bright(wait), folder, tmp_path / "out", progress=False)
    assert max(ahead) == AHEAD


def test_failures_are_listed_in_the_order_of_the_files_wherever_they_arise(folder, tmp_path, monkeypatch):
    (folder / "1.png").write_bytes(b"")
    (folder / "7.png").write_bytes(b"nothing")

    def find(image):
        if image.path.endswith("4.png"):
            raise InputError(image.path, "is not for this network")

    from monai_lesion.images.writers import write_mask

    def writing(mask, path, **options):
        if Path(path).name == "2":
            time.sleep(0.05)
            raise MemoryError
        return write_mask(mask, path, **options)

    monkeypatch.setattr("monai_lesion.segmentation.results.write_mask", writing)
    paces = []
    with pytest.raises(InputError, match=r"(?s)4 of 9 could.*1\.png.*2\.png: needs more memory.*4\.png.*7\.png"):
        segment_files(Bright(find), folder, tmp_path / "out", progress=False, report=paces.append)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n}.png" for n in (0, 3, 5, 6, 8)]
    assert [(pace.segmented, pace.frames) for pace in paces] == [(5, False)]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("could not allocate memory"), Exception("bad_alloc")])
def test_a_picture_that_does_not_fit_the_memory_does_not_stop_the_rest(folder, tmp_path, monkeypatch, error):
    def reading(path, frame):
        if Path(path).name == "3.png":
            raise error
        return read_image(path, frame=frame)

    def find(image):
        if image.path.endswith("5.png"):
            raise error

    monkeypatch.setattr(module, "read_image", reading)
    with pytest.raises(InputError, match=r"(?s)2 of 9.*3\.png: needs more memory.*5\.png: needs more memory .*20 x 30"):
        segment_files(Bright(find), folder, tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out").iterdir())) == 7


@pytest.mark.parametrize("place", ["read", "find", "save"])
@pytest.mark.parametrize("error", [ValueError("Doe^Jane"), OSError(36, "File name too long"), AttributeError("x")])
def test_whatever_happens_to_one_file_the_rest_is_done_and_it_is_listed(folder, tmp_path, monkeypatch, place, error):
    from monai_lesion.images.writers import write_mask

    def fails(here, path):
        if here == place and Path(path).stem == "3":
            raise error

    def reading(path, frame):
        fails("read", path)
        return read_image(path, frame=frame)

    def writing(mask, path, **options):
        fails("save", path)
        return write_mask(mask, path, **options)

    monkeypatch.setattr(module, "read_image", reading)
    monkeypatch.setattr("monai_lesion.segmentation.results.write_mask", writing)
    with pytest.raises(InputError, match=r"1 of 9 could not be segmented:\n.*3\.png: must be possible to") as caught:
        segment_files(Bright(lambda image: fails("find", image.path)), folder, tmp_path / "out", progress=False)
    assert "Doe" not in str(caught.value)
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_the_longest_name_that_a_file_can_have_is_segmented(folder, tmp_path):
    longest, other = "é" * 125 + "x.png", "y" * 251 + ".png"
    (folder / "0.png").rename(folder / longest)
    (folder / "1.png").rename(folder / other)
    assert segment_files(Bright(), folder, tmp_path / "out", progress=False) == 9
    assert (tmp_path / "out" / longest).is_file()
    with pytest.raises(InputError, match=r"(?s)2 of 9 could not.*_overlay\.png: must have at most 255 bytes, got 263"):
        segment_files(Bright(), folder, tmp_path / "more", formats=["png", "overlay"], progress=False)
    assert len(list((tmp_path / "more").iterdir())) == 14


def test_a_batch_of_failures_alone_tells_no_pace(tmp_path):
    paces = []
    with pytest.raises(InputError, match=r"1 of 1 could not be segmented"):
        segment_files(Bright(), tmp_path / "gone.png", tmp_path / "out", progress=False, report=paces.append)
    assert paces == []


def test_a_full_disk_stops_at_once(folder, tmp_path, monkeypatch):
    found = []

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monai_lesion.segmentation.results.write_mask", full)
    with pytest.raises(OSError, match="No space left"):
        segment_files(Bright(found.append), folder, tmp_path / "out", progress=False)
    assert len(found) < 9


def test_an_interruption_leaves_whole_files_and_no_thread(folder, tmp_path):
    def interrupt(image):
        if image.path.endswith("4.png"):
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        segment_files(Bright(interrupt), folder, tmp_path / "out", progress=False)
    assert threading.active_count() == before
    written = sorted((tmp_path / "out").iterdir())
    assert written
    assert not any(path.name.startswith(".partial") for path in written)
    for path in written:
        assert np.asarray(Image.open(path)).sum() == 16 * 255
    assert segment_files(Bright(), folder, tmp_path / "out", skip_existing=True, progress=False) == 9 - len(written)


def test_earlier_results_are_replaced_only_when_asked(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "4.png").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"1 of 9.*\n.*4\.png: must not exist yet.*Add --overwrite or --skip-existing"):
        segment_files(Bright(), folder, out, progress=False)
    assert (out / "4.png").read_bytes() == b"mine"
    assert segment_files(Bright(), folder, out, overwrite=True, progress=False) == 9
    assert (out / "4.png").read_bytes() != b"mine"


def test_no_image_of_the_batch_is_replaced_whatever_is_asked(folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="9 of 9"):
        segment_files(Bright(), folder, folder, overwrite=True, progress=False)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_pace_of_a_cine_is_in_frames(tmp_path):
    pixels = bytes(3 * ROWS * COLUMNS)
    write_dicom(tmp_path / "a.dcm", pixels, "MONOCHROME2", NumberOfFrames=3)
    paces = []
    segment_files(Bright(), tmp_path / "a.dcm", tmp_path / "out", progress=False, report=paces.append)
    assert str(paces[0]).startswith("3 frames in ")
    assert str(paces[0]).endswith(" frames per second")


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9, 3), np.float32), np.zeros((9, 9), np.uint8), np.zeros((0, 9, 3), np.uint8)]
)
def test_rejects_pictures_made_by_hand_that_are_no_8_bit_rgb(pixels):
    from monai_lesion.images.reading import UltrasoundImage

    with pytest.raises(InputError, match=r"a.png: pixels must be unsigned 8-bit \(H, W, 3\), at least one, got"):
        Bright().segment(UltrasoundImage(pixels, None, "a.png"))


@pytest.fixture
def damaged(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(red()[0]).save(images / f"{name}.png")
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:60])
    (images / "d.dcm").write_bytes(b"")
    return images


def test_a_batch_finishes_its_good_images_and_then_lists_the_bad(segmenter, damaged, tmp_path):
    with pytest.raises(InputError, match=r"(?s)images: 2 of 4 could not be segmented:.*b\.png.*d\.dcm.*0 bytes"):
        segment_files(segmenter, damaged, tmp_path / "out", progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_a_picture_too_large_for_the_memory_does_not_stop_the_rest(segmenter, damaged, tmp_path, error):
    (damaged / "b.png").unlink()
    (damaged / "d.dcm").unlink()
    asked = []

    def short_of_memory(images):
        asked.append(images)
        if len(asked) == 1:
            raise error
        return Outputs((images[:, :1] - 0.5) * 20)

    segmenter.runtime.run = short_of_memory
    message = r"(?s)1 of 2 could not.*a\.png: needs more memory than this machine has, got 48 x 80"
    with pytest.raises(InputError, match=message):
        segment_files(segmenter, damaged, tmp_path / "out", progress=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]


def test_a_batch_goes_on_where_it_stopped(segmenter, damaged, tmp_path):
    (damaged / "b.png").unlink()
    (damaged / "d.dcm").unlink()
    assert segment_files(segmenter, damaged, tmp_path / "out", progress=False) == 2
    (tmp_path / "out" / "c.png").unlink()
    assert segment_files(segmenter, damaged, tmp_path / "out", skip_existing=True, progress=False) == 1


def test_a_batch_writes_each_frame_of_a_cine_but_the_broken(segmenter, tmp_path):
    (tmp_path / "in").mkdir()
    file = red_dicom(tmp_path / "in" / "a.dcm", frames=3)
    file.write_bytes(file.read_bytes()[:-100])
    Image.fromarray(red()[0]).save(tmp_path / "in" / "b.png")
    Image.fromarray(red()[0]).save(tmp_path / "in" / "c_f0000.png")
    red_dicom(tmp_path / "in" / "c.dcm", frames=2)
    with pytest.raises(InputError, match=r"(?s)images: 1 of 7 could not be segmented:.*a\.dcm: frame 2 must be"):
        segment_files(segmenter, tmp_path / "in", tmp_path / "out", progress=False)
    names = ["a_f0000.png", "a_f0001.png", "b.png", "c_cine_f0000.png", "c_cine_f0001.png", "c_f0000.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a_f0001.png"), np.roll(red()[1], 2, axis=0))
    for frame in (0, 1):  # two frames of one cine never overwrite each other
        segment_files(segmenter, file, tmp_path / "one", frame=frame, progress=False)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a_f0000.png", "a_f0001.png"]


def test_results_replace_no_image_and_are_not_taken_for_images(segmenter, tmp_path):
    file = tmp_path / "a.png"
    Image.fromarray(red()[0]).save(file)
    before = file.read_bytes()
    with pytest.raises(
        InputError, match=r"(?s)1 of 1 could not.*a\.png: must not be a picture that is segmented.*a folder of its own"
    ):
        segment_files(segmenter, tmp_path, tmp_path, progress=False)
    assert file.read_bytes() == before
    for again in (False, True):  # the second run finds the masks of the first
        assert segment_files(segmenter, tmp_path, tmp_path / "masks", overwrite=again, progress=False) == 1
    assert [path.name for path in (tmp_path / "masks").rglob("*")] == ["a.png"]
