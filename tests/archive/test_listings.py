from __future__ import annotations

import io
import tarfile

import pyarrow
import pyarrow.parquet
import pytest

from monai_lesion.archive.listings import Item, list_items
from monai_lesion.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")


def names(*sources, **options):
    return [(each.path.rsplit("/", 1)[-1], each.member) for each in list_items(list(map(str, sources)), **options)]


def packed(path, *members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name in members:
            information = tarfile.TarInfo(name)
            information.size = 3
            archive.addfile(information, io.BytesIO(b"abc"))
    return path


def test_a_folder_is_walked_in_order_without_masks_beside_their_picture_and_results(tmp_path):
    touch(tmp_path, "b/2.png", "a/1.png", "a/1_mask.png", "a/lonely_mask.png", "a/note.txt", ".hidden/3.png")
    touch(tmp_path, "out/rows/4.png")
    assert names(tmp_path, leave_out=tmp_path / "out") == [("1.png", ""), ("lonely_mask.png", ""), ("2.png", "")]
    assert names(tmp_path, leave_out=tmp_path / "out", exclude=["b/*"])[-1] == ("lonely_mask.png", "")


def test_a_pattern_gives_what_each_match_gives(tmp_path):
    touch(tmp_path, "a/1.png", "a/x/2.png", "b/3.png")
    packed(tmp_path / "shard.tar", "4.png")
    assert sorted(names(tmp_path / "[ab]")) == [("1.png", ""), ("2.png", ""), ("3.png", "")]
    assert sorted(names(tmp_path / "**" / "*.png")) == [("1.png", ""), ("2.png", ""), ("3.png", "")]
    assert names(tmp_path / "*.tar") == [("shard.tar", "4.png")]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_file_gives_its_pictures_and_where_they_begin(tmp_path, mode):
    file = packed(tmp_path / f"a.tar{mode[1:].replace(':', '.')}", "d/1.png", "1.2.840.5", "read.me", mode=mode)
    items = list(list_items([str(file)]))
    assert [each.member for each in items] == ["d/1.png", "1.2.840.5"]
    assert [each.packed for each in items] == [mode != "w"] * 2
    with tarfile.open(file) as archive:
        assert [each.offset for each in items] == [archive.getmember(each.member).offset_data for each in items]


@pytest.mark.parametrize("member", ["/etc/1.png", "a/../../1.png", "..", "C:/1.png"])
def test_a_tar_file_with_a_member_outside_it_is_refused_whole(tmp_path, member):
    file = packed(tmp_path / "evil.tar", "good.png", member)
    with pytest.raises(InputError, match=r"evil.tar: members must lie in the tar file, got .*Refused"):
        list(list_items([str(file)]))


def test_links_in_a_tar_file_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            information = tarfile.TarInfo("1.png")
            information.type, information.linkname = kind, "/etc/passwd"
            archive.addfile(information)
    assert names(tmp_path / "a.tar") == []


def test_a_damaged_tar_file_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(InputError, match=r"a.tar: must be a readable tar file"):
        list(list_items([str(tmp_path / "a.tar")]))


def test_lists_name_files_and_frames_from_their_own_folder(tmp_path):
    (tmp_path / "l.csv").write_text("path,frame\n1.png,\nsub/2.dcm,4\n/abs/3.png,\n")
    items = list(list_items([str(tmp_path / "l.csv")]))
    assert [(each.path, each.frame) for each in items] == [
        (f"{tmp_path}/1.png", None),
        (f"{tmp_path}/sub/2.dcm", 4),
        ("/abs/3.png", None),
    ]
    pyarrow.parquet.write_table(pyarrow.table({"path": ["1.png"], "note": [1]}), tmp_path / "l.parquet")
    assert list(list_items([str(tmp_path / "l.parquet")])) == [Item(f"{tmp_path}/1.png")]


def test_a_list_without_the_column_names_those_it_has(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"file": ["1.png"], "age": [1]}), tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text("file,age\n1.png,1\n")
    for name in ("l.parquet", "l.csv"):
        with pytest.raises(InputError, match=rf"{name}: must have the column path, got file, age. Rename the column"):
            list(list_items([str(tmp_path / name)]))


@pytest.mark.parametrize(
    ("line", "message"), [(",1", "entry 1: path must name a file"), ("1.png,x", "frame must be a whole number")]
)
def test_a_list_with_a_bad_entry_names_it(tmp_path, line, message):
    (tmp_path / "l.csv").write_text(f"path,frame\n{line}\n")
    with pytest.raises(InputError, match=message):
        list(list_items([str(tmp_path / "l.csv")]))


def test_a_list_that_is_none_is_told(tmp_path):
    touch(tmp_path, "l.parquet")
    with pytest.raises(InputError, match=r"l.parquet: must be a readable Parquet file"):
        list(list_items([str(tmp_path / "l.parquet")]))


@pytest.mark.parametrize(("source", "message"), [("none.png", "must be an existing source"), ("*.png", "must match")])
def test_a_source_that_is_not_there_is_told(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        list(list_items([str(tmp_path / source)]))


def test_limit_and_sample_choose_the_same_each_time(tmp_path):
    touch(tmp_path, *(f"{number:03d}.png" for number in range(200)))
    assert len(names(tmp_path, limit=7)) == 7
    half = names(tmp_path, sample=0.5)
    assert 60 < len(half) < 140
    assert names(tmp_path, sample=0.5) == half
    assert set(names(tmp_path, sample=0.2)) < set(half)


def test_a_url_gives_its_studies():
    found = list(list_items(["http://a/dicom-web?StudyDate=2026"], studies=lambda source: [source[-4:], "1.2"]))
    assert found == [Item("http://a/dicom-web", study="2026"), Item("http://a/dicom-web", study="1.2")]
