"""What an archive may answer, played by a small server: passing errors are retried, final ones named."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from contextlib import suppress

import pydicom
import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, ArchiveError, Instance, _reason
from monai_lesion.pacs.credentials import Credentials
from monai_lesion.pacs.limits import Limits
from tests.dicom import make_source
from tests.pacs import FakeArchive, stub_server

pytest.importorskip("requests", reason="DICOMweb needs requests")
QUICK = {"retries": 3, "wait": 0.01}


@pytest.mark.parametrize("failure", [500, 503, 429, None], ids=["500", "503", "429", "reset"])
def test_passing_failure_is_tried_again(failure):
    with stub_server([failure, failure, 200]) as (url, asked):
        assert Archive(url, **QUICK).instances("1.2.3") == []
    assert len(asked) == 3


def test_retries_end_and_name_the_error(caplog):
    caplog.set_level(logging.WARNING)
    with stub_server([503]) as (url, asked), pytest.raises(ArchiveError, match="503 Service Unavailable"):
        Archive(url, **QUICK).instances("1.2.3")
    assert len(asked) == 4
    assert "trying again in 0.02 s (2 of 3)" in caplog.text


@pytest.mark.parametrize(("code", "kind"), [(401, ArchiveClosedError), (403, ArchiveClosedError), (404, ArchiveError)])
def test_final_failure_is_not_tried_again(code, kind):
    with stub_server([code]) as (url, asked), pytest.raises(kind, match=str(code)):
        Archive(url, **QUICK).instances("1.2.3")
    assert len(asked) == 1


def test_closed_port_is_named():
    with stub_server([200]) as (url, _):
        pass
    with pytest.raises(ArchiveClosedError, match="Connection refused"):
        Archive(url, retries=1, wait=0.01).instances("1.2.3")


def test_an_unknown_host_is_told_without_the_brackets_of_its_wrappers():
    cause = OSError("Failed to resolve 'archive' ([Errno -2] Name or service not known)")
    assert _reason(ConnectionError(ConnectionError(cause))) == "Name or service not known"
    assert _reason(ConnectionError("it ended (early)")) == "it ended (early)"


def test_plain_server_is_no_tls():
    with stub_server([200]) as (url, asked), pytest.raises(ArchiveClosedError, match=r"TLS.*--ca-file"):
        Archive(url.replace("http:", "https:"), **QUICK).instances("1.2.3")
    assert len(asked) == 0


def test_page_that_is_no_dicomweb_is_named():
    with stub_server([200], b"<html>") as (url, _), pytest.raises(ArchiveError, match="must answer as DICOMweb"):
        Archive(url, retries=0).instances("1.2.3")


def test_refused_object_is_named_with_those_that_are_in(tmp_path):
    file = make_source(tmp_path)
    with stub_server([409, 200]) as (url, asked), pytest.raises(ArchiveError, match="stored: none; not stored: US 1"):
        Archive(url, **QUICK).store("1.2.3", [file])
    assert [each.split()[0] for each in asked] == ["POST", "GET"]


@pytest.mark.parametrize("url", ["http://me:hidden@host/x", "ftp://host", "host:8042"])
def test_other_urls_are_refused_and_passwords_not_repeated(url):
    with pytest.raises(InputError, match="URL") as caught:
        Archive(url)
    assert "hidden" not in str(caught.value)


def test_secret_over_plain_http_is_warned_of(caplog):
    Archive("http://archive.example/dicom-web", Credentials(token="abc"))
    assert "unencrypted" in caplog.text
    assert "abc" not in caplog.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes the certificates, is not installed")
def test_authority_and_client_certificate_are_presented(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = [*make.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    tls.load_cert_chain(certificate, key)
    tls.verify_mode = ssl.CERT_REQUIRED
    with stub_server([200], tls=tls) as (url, asked):
        known = Credentials(ca_file=certificate, client_cert=certificate, client_key=key)
        assert Archive(url, known, **QUICK).instances("1.2.3") == []
        assert len(asked) == 1
        for unknown in (Credentials(), Credentials(ca_file=certificate)):
            with pytest.raises(ArchiveClosedError, match=r"TLS|reachable"):
                Archive(url, unknown, retries=0).instances("1.2.3")
        assert len(asked) == 1


JSON = "application/dicom+json"
UID = "1.2.826.0.1.3680043.8.498.1"


def items(*uids):
    kind = {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.6.1"]}
    series = {"vr": "UI", "Value": ["1.2.3.4"]}
    found = [{"00080018": {"vr": "UI", "Value": [uid]}, "00080016": kind, "0020000E": series} for uid in uids]
    return json.dumps(found).encode()


def said(uid, reason=None):
    """What an archive says of one object: stored, or refused for a reason."""
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is None:
        return json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode()
    item["00081197"] = {"vr": "US", "Value": [reason]}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


def storing(status, media_type, content, *, holds=()):
    """An archive that answers so to what it is sent, and lists what it holds."""

    def answer(method, path, query, body):
        return (status, media_type, content) if method == "POST" else (200, JSON, items(*holds))

    return FakeArchive(answer)


@pytest.fixture
def one(tmp_path):
    file = make_source(tmp_path)
    return file, str(pydicom.dcmread(file).SOPInstanceUID)


@pytest.mark.parametrize("media_type", [JSON, "application/dicom+json; charset=utf-8", "text/html", ""])
@pytest.mark.parametrize("status", [200, 202, 409])
def test_refused_object_is_a_failure_however_the_answer_is_labelled(one, status, media_type):
    file, uid = one
    with (
        storing(status, media_type, said(uid, 0x0122)).running() as archive,
        pytest.raises(ArchiveError, match=rf"stored: none; not stored: US {uid}.*0x0122"),
    ):
        Archive(archive.url, **QUICK).store("1.2.3", [file])


@pytest.mark.parametrize("status", [200, 202, 409])
def test_object_that_is_there_already_is_stored(one, status):
    file, uid = one
    with storing(status, JSON, said(uid, 0x0111)).running() as archive:
        Archive(archive.url, **QUICK).store("1.2.3", [file])
    assert len(archive.asked) == 1


def test_stored_object_is_believed_without_asking(one):
    file, uid = one
    with storing(200, "", b"[" + said(uid) + b"]").running() as archive:
        Archive(archive.url, **QUICK).store("1.2.3", [file])
    assert len(archive.asked) == 1
    assert file.read_bytes() in archive.bodies[0]


@pytest.mark.parametrize("content", [b"", b"{}"], ids=["nothing", "empty"])
def test_archive_that_says_nothing_of_an_object_is_asked_for_it(one, content):
    file, uid = one
    with storing(200, JSON, content, holds=[uid]).running() as archive:
        Archive(archive.url, **QUICK).store("1.2.3", [file])
    assert f"SOPInstanceUID={uid}" in archive.asked[1]
    with (
        storing(200, JSON, content).running() as archive,
        pytest.raises(ArchiveError, match=f"not stored: US {uid}.*200 OK"),
    ):
        Archive(archive.url, **QUICK).store("1.2.3", [file])


def test_login_page_is_no_success(one):
    file, uid = one
    with (
        storing(200, "text/html; charset=utf-8", b"<html>\n<p>Sign in").running() as archive,
        pytest.raises(ArchiveError, match=rf'not stored: US {uid}.*200 OK, text/html; charset=utf-8, "<html>"'),
    ):
        Archive(archive.url, **QUICK).store("1.2.3", [file])


def test_archive_that_ignores_offset_is_asked_twice():
    with FakeArchive(lambda *_: (200, JSON, items("1.1", "1.2"))).running() as archive:
        assert [each.uid for each in Archive(archive.url, **QUICK).instances("1.2.3")] == ["1.1", "1.2"]
    assert len(archive.asked) == 2


def test_pages_are_joined():
    uids = [f"1.{number}" for number in range(25)]

    def answer(method, path, query, body):
        start = int(query.partition("offset=")[2] or 0)
        return 200, JSON, items(*uids[start : start + 10])

    with FakeArchive(answer).running() as archive:
        assert [each.uid for each in Archive(archive.url, **QUICK).instances("1.2.3")] == uids
    assert len(archive.asked) == 4


def test_pages_that_overlap_are_said_to_leave_something_out(caplog):
    uids = [f"1.{number}" for number in range(25)]

    def answer(method, path, query, body):
        start = int(query.partition("offset=")[2] or 0)
        return 200, JSON, items(*(uids[::-1] if start else uids)[start : start + 7])

    with FakeArchive(answer).running() as archive:
        found = [each.uid for each in Archive(archive.url, **QUICK).instances("1.2.3")]
    assert 7 < len(set(found)) == len(found) < 25
    assert "its pages overlap" in caplog.text


def test_archive_that_lists_for_ever_is_refused():
    count = iter(range(10**6))
    with (
        FakeArchive(lambda *_: (200, JSON, items(f"1.{next(count)}"))).running() as archive,
        pytest.raises(ArchiveError, match="must list at most 5 objects"),
    ):
        Archive(archive.url, **QUICK, limits=Limits(listed_objects=5)).instances("1.2.3")


def test_archive_without_pages_gives_its_first(caplog):
    def answer(method, path, query, body):
        return (400, "", b"") if "offset" in query else (200, JSON, items("1.1"))

    with FakeArchive(answer).running() as archive:
        assert len(Archive(archive.url, **QUICK).instances("1.2.3")) == 1
    assert "no further pages" in caplog.text


def test_field_that_is_not_known_is_done_without():
    def answer(method, path, query, body):
        return (400, "", b"") if "includefield" in query else (200, JSON, b'[{"0020000E": {"Value": ["1.5"]}}]')

    with FakeArchive(answer).running() as archive:
        found = Archive(archive.url, **QUICK).series("1.2.3")
    assert found == [{"uid": "1.5", "modality": "", "manufacturer": ""}]


@pytest.mark.parametrize("status", [404, 501])
def test_search_for_series_that_is_not_offered_is_done_without(status):
    with FakeArchive(lambda *_: (status, "", b"")).running() as archive:
        assert Archive(archive.url, **QUICK).series("1.2.3") == []
    assert len(archive.asked) == 2


def fetched(archive, tmp_path, **options):
    Archive(archive.url, **QUICK, **options).fetch("1.2.3", Instance(UID, "1.2.3.4", ""), tmp_path / "got.dcm")
    return (tmp_path / "got.dcm").read_bytes()


RELATED = 'multipart/related; type="application/dicom"; boundary=abc'
HEAD, TAIL = b"--abc\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--abc--\r\n"


def test_object_comes_byte_by_byte(one, tmp_path):
    content = one[0].read_bytes()[128:] + b"odd bytes that no writer would leave"
    with FakeArchive(lambda *_: (200, RELATED, HEAD + content + TAIL)).running() as archive:
        assert fetched(archive, tmp_path) == content


@pytest.mark.parametrize("told", [True, False], ids=["fewer bytes than told", "no end"])
def test_object_that_breaks_off_is_tried_again_and_then_a_failure(one, tmp_path, told):
    whole = HEAD + one[0].read_bytes() + TAIL
    half = whole[: len(whole) // 2]
    with (
        FakeArchive(lambda *_: (200, RELATED, half, *([len(whole)] if told else []))).running() as archive,
        pytest.raises(ArchiveError, match=r"must send the whole|its end is missing") as caught,
    ):
        fetched(archive, tmp_path)
    assert not isinstance(caught.value, ArchiveClosedError)
    assert len(archive.asked) == 4
    assert not (tmp_path / "got.dcm").exists()


def test_object_that_is_too_large_is_not_read(tmp_path):
    with (
        FakeArchive(lambda *_: (200, RELATED, HEAD + bytes(300_000) + TAIL)).running() as archive,
        pytest.raises(ArchiveError, match="more than 1000 bytes"),
    ):
        fetched(archive, tmp_path, limits=Limits(object_bytes=1000))


def test_object_that_comes_too_slowly_is_given_up(tmp_path):
    """A byte every now and then keeps the connection alive, and no answer would ever be whole."""
    server = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)

    threading.Thread(target=drip, daemon=True).start()
    archive = Archive(f"http://127.0.0.1:{server.getsockname()[1]}/x", retries=0, timeout=0.2)
    with server, pytest.raises(ArchiveError, match=r"must send the whole answer .* bytes in 0 s"):
        archive.fetch("1.2.3", Instance(UID, "1.2.3.4", ""), tmp_path / "got.dcm")


def test_compressed_answer_is_read_up_to_its_limit():
    def answer(method, path, query, body):
        return 200, f"{JSON}\r\nContent-Encoding: gzip", gzip.compress(items("1.1") + b" " * 500_000)

    with FakeArchive(answer).running() as archive:
        assert len(Archive(archive.url, **QUICK).instances("1.2.3")) == 1
        with pytest.raises(ArchiveError, match="more than 1000 bytes"):
            Archive(archive.url, **QUICK, limits=Limits(answer_bytes=1000)).instances("1.2.3")


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip, gzip": lambda content: gzip.compress(gzip.compress(content)),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_list_object_and_verdict_are_read_however_they_are_packed(coding, one, tmp_path):
    file, uid = one
    content = file.read_bytes()

    def answer(method, path, query, body):
        if method == "POST":
            kind, plain = f"{JSON}; charset=utf-8", said(uid, 0x0110) if b"refused" in body else said(uid)
        elif path.endswith(uid):
            kind, plain = "application/dicom", content
        else:
            kind, plain = JSON, items() if "offset" in query else items("1.1")
        return 200, f"{kind}\r\nContent-Encoding: {coding}", CODINGS[coding](plain)

    refused = pydicom.dcmread(file)
    refused.ImageComments = "refused"
    refused.save_as(tmp_path / "refused.dcm")
    with FakeArchive(answer).running() as server:
        archive = Archive(server.url, **QUICK)
        assert [each.uid for each in archive.instances("1.2.3")] == ["1.1"]
        archive.fetch("1.2.3", Instance(uid, "1.2.3.4", ""), tmp_path / "got.dcm")
        archive.store("1.2.3", [file])
        with pytest.raises(ArchiveError, match="0x0110"):
            archive.store("1.2.3", [tmp_path / "refused.dcm"])
    assert (tmp_path / "got.dcm").read_bytes() == content


def test_answer_that_is_not_packed_as_it_says_is_named_and_asked_for_again():
    sent = []

    def answer(method, path, query, body):
        sent.append(b"[]" if not sent else gzip.compress(b"[]"))
        return 200, f"{JSON}\r\nContent-Encoding: gzip", sent[-1]

    with FakeArchive(answer).running() as server:
        assert Archive(server.url, **QUICK).instances("1.2.3") == []
        sent.clear()
        with pytest.raises(ArchiveError, match=r"whole answer for study 1.2.3, got 0 bytes and then no gzip"):
            Archive(server.url, retries=0).instances("1.2.3")


def test_identifiers_cannot_leave_their_place_in_the_address(tmp_path):
    with FakeArchive(lambda *_: (404, "", b"")).running() as archive, pytest.raises(ArchiveError, match="404"):
        Archive(archive.url, **QUICK).fetch("1.2", Instance("../../x?y", "1#", ""), tmp_path / "got.dcm")
    assert archive.asked == ["GET studies/1.2/series/1%23/instances/..%2F..%2Fx%3Fy"]
