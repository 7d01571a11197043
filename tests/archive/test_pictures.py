from __future__ import annotations

import tarfile

import numpy as np
import pytest
from PIL import Image

from monai_lesion.archive.listings import Item, list_items
from monai_lesion.archive.pictures import Opener
from monai_lesion.errors import ImageError


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_members_of_a_tar_file_are_read_in_place(tmp_path, mode):
    pictures = [np.full((20, 30), 10 * number, np.uint8) for number in range(3)]
    with tarfile.open(tmp_path / "a.tar", mode) as archive:
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
            archive.add(tmp_path / f"{number}.png", f"{number}.png")
    (tmp_path / "a.tar").rename(tmp_path / "a.tgz")  # what it is, its first bytes say
    opener = Opener()
    for item, pixels in zip(list_items([str(tmp_path / "a.tgz")]), pictures, strict=True):
        with opener(item) as file:
            assert (file.read().pixels[..., 0] == pixels).all()
    opener.close()


def test_a_tar_file_that_has_changed_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 100)
    with pytest.raises(ImageError, match=r"a.tar: 1.png: must have 50 bytes in its tar file, got 10"):
        Opener()(Item(str(tmp_path / "a.tar"), "1.png", 90, 50)).__enter__()
    with pytest.raises(ImageError, match=r"must be readable in its tar file, got .*No such file"):
        Opener()(Item(str(tmp_path / "b.tar"), "1.png", 90, 50)).__enter__()
    with pytest.raises(ImageError, match="must have at most"):
        Opener()(Item(str(tmp_path / "a.tar"), "1.png", 0, 2**40)).__enter__()
