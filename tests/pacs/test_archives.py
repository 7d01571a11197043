"""What an archive may answer, played by a small server: passing errors are retried, final ones named."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, ArchiveError
from monai_lesion.pacs.credentials import Credentials
from tests.dicom import make_source
from tests.pacs import stub_server

pytest.importorskip("dicomweb_client", reason="DICOMweb needs dicomweb-client")
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
