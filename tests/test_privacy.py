"""A name in every text of a header, and in the wrong ones: no log of ours at DEBUG, no message, repeats it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from typer.testing import CliRunner

from tests.pacs import FakeArchive, bright_segmenter, planted
from tests.pacs.orthanc import free_port

pytest.importorskip("highdicom", reason="the writers need highdicom")
pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
pytestmark = pytest.mark.slow

WORD = "Zplanted"
FREE_TEXT = {"LO", "SH", "PN", "ST", "LT", "UT", "UC", "UR"}
SYNTAX = "1.2.840.10008.1.2.1"


def _everywhere(file: Path) -> Path:
    """The same image with the word in every attribute of free text that the dictionary of DICOM has."""
    dataset = pydicom.dcmread(file)
    for number, (kind, *_, retired, keyword) in DicomDictionary.items():
        tag = Tag(number)
        if kind in FREE_TEXT and keyword and not retired and tag.group > 0x0007 and tag.group != 0x5400:
            dataset.add_new(tag, kind, WORD)
    dataset.PatientName, dataset.PatientID = f"{WORD}^{WORD}", WORD
    dataset.save_as(file)
    return file


def _misplaced(folder: Path) -> list[Path]:
    """Images whose every attribute that is no free text holds the word, one at a time, as bytes that nobody checked."""
    first = planted(folder, 1, BurnedInAnnotation="YES")
    content, files = pydicom.dcmread(first), []
    for element in [each for each in content if each.VR in ("CS", "IS", "DS", "DA", "TM", "UI", "AS", "AE", "DT")]:
        dataset = pydicom.dcmread(first)
        dataset.SOPInstanceUID = f"1.2.3.{len(files) + 1}"
        value = WORD.encode().ljust(8)
        raw = RawDataElement(element.tag, element.VR, len(value), value, 0, False, True)
        dict.__setitem__(dataset._dict, element.tag, raw)
        files.append(folder / f"wrong{len(files):02}.dcm")
        dataset.save_as(files[-1])
        assert WORD.encode() in files[-1].read_bytes()
    assert len(files) > 15
    return files


@pytest.fixture
def log(caplog, capfd, monkeypatch):
    """All that was said, as one text."""
    for name in ("pydicom", "pynetdicom", "urllib3", "pydicom.pixels"):  # as at the start of a process
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("pydicom").setLevel(logging.NOTSET)

    def said():
        read = capfd.readouterr()
        return "\n".join(
            f"{each.name}: {each.getMessage()} {each.exc_text or ''}" for each in caplog.records
        ) + "".join(read)

    return said


def _lines_with_the_word(text):
    return [line[:300] for line in text.splitlines() if WORD.lower() in line.lower()]


def test_predict_repeats_no_value_of_a_header(tmp_path, log):
    files = [_everywhere(planted(tmp_path / "in", 0)), *_misplaced(tmp_path / "in")]
    from monai_lesion.commands.app import app

    line = [
        "predict",
        *map(str, files),
        "--output",
        str(tmp_path / "out"),
        "--formats",
        "png,nifti,json,overlay,dicom-seg,dicom-sr,sc",
    ]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 1, result.output
    assert f"of {len(files)} could not be segmented" in result.output + str(result.exception)
    assert not _lines_with_the_word(log() + result.output + str(result.exception))


def test_listen_repeats_no_value_of_a_header(tmp_path, log):
    from pynetdicom import AE

    from monai_lesion.pacs.dimse import Peer
    from monai_lesion.pacs.listeners import Listener

    files, port = [_everywhere(planted(tmp_path / "in", 0)), *_misplaced(tmp_path / "in")], free_port()
    to = Peer("ARCHIVE", "127.0.0.1", 9)
    options = {"title": "LESION", "peers": ["SCANNER"], "host": "127.0.0.1"}
    with Listener(tmp_path / "queue", bright_segmenter(), to=to, port=port, **options) as listener:
        entity = AE("SCANNER")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.6.1", SYNTAX)
        association = entity.associate("127.0.0.1", port, ae_title="LESION")
        for file in files:
            dataset = pydicom.dcmread(file)
            if WORD not in str(dataset.get("SOPClassUID")) + str(dataset.get("SOPInstanceUID")):
                association.send_c_store(dataset)
        association.release()
        for number, name in enumerate(("SOPClassUID", "SOPInstanceUID")):  # which pynetdicom would not send
            job = listener.queue.folder / "waiting" / f"9-{number}"
            job.mkdir(parents=True)
            file = next(each for each in files if WORD in str(pydicom.dcmread(each).get(name)))
            (job / "a.dcm").write_bytes(file.read_bytes())
        end = time.monotonic() + 300
        while any(any(each.iterdir()) for each in (listener.queue.incoming, listener.queue.waiting)):
            assert time.monotonic() < end
            time.sleep(0.05)
    said = log()
    assert "segmented" in said
    assert not _lines_with_the_word(said)


def test_dicomweb_repeats_no_value_of_a_header(tmp_path, log):
    import json

    from monai_lesion.pacs.archives import Archive
    from monai_lesion.pacs.web import segment_study

    first = _everywhere(planted(tmp_path / "in", 0, SOPInstanceUID="1.2.3.0"))
    files = [first, *_misplaced(tmp_path / "in")]
    contents = {f"1.2.3.{number}": file.read_bytes() for number, file in enumerate(files)}

    def reply(method, path, query, body):
        if method == "POST":
            return 409, "application/dicom+json", b"{}"
        if path.endswith("/instances") and "SOPInstanceUID=" not in query:
            listed = [
                {
                    "00080018": {"vr": "UI", "Value": [uid]},
                    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.6.1"]},
                    "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
                    "00100010": {"vr": "PN", "Value": [{"Alphabetic": WORD}]},
                }
                for uid in contents
            ]
            return 200, "application/dicom+json", json.dumps(listed).encode()
        uid = path.rpartition("/")[2]
        if uid in contents:
            return 200, "application/dicom", contents[uid]
        return 200, "application/dicom+json", b"[]"

    with FakeArchive(reply).running() as fake:
        outcome = segment_study(
            Archive(fake.url, retries=0, wait=0), "1.2.3", segmenter=bright_segmenter(), progress=False
        )
    assert len(outcome.failures) > len(files) // 2
    assert any("not stored" in reason for reason in outcome.failures.values())
    assert not _lines_with_the_word(log() + str(outcome) + "\n".join(outcome.failures.values()))
