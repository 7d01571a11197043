from __future__ import annotations

import json

import pytest
import requests

from monai_lesion.errors import InputError
from monai_lesion.pacs.credentials import Credentials, find_credentials


def authorization(credentials):
    request = requests.Request("GET", "http://127.0.0.1/")
    return credentials.session().prepare_request(request).headers.get("Authorization")


def secret_file(folder, content, mode=0o600):
    file = folder / "secret.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(mode)
    return file


def test_user_and_password_of_the_environment_make_basic_authentication():
    found = find_credentials(environment={"MONAI_LESION_PACS_USER": "anna", "MONAI_LESION_PACS_PASSWORD": "geheim"})
    assert authorization(found) == "Basic YW5uYTpnZWhlaW0="
    assert "geheim" not in repr(found)


def test_token_of_a_file_makes_a_bearer_and_wins_over_netrc(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert authorization(find_credentials(secret_file(tmp_path, {"token": "abc"}))) == "Bearer abc"


def test_ca_file_wins_over_the_environment(tmp_path, monkeypatch):
    file = secret_file(tmp_path, "pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    session = Credentials(ca_file=file, client_cert=file).session()
    settings = session.merge_environment_settings("https://host", {}, None, None, None)
    assert settings["verify"] == settings["cert"] == str(file)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ({"token": "hidden"}, 0o644, "chmod 600"),
        ('{"token": "hidden', 0o600, "JSON"),
        ({"tokn": "hidden"}, 0o600, "tokn"),
        ({"user": "anna"}, 0o600, "user and password"),
        ({"user": "anna", "password": "hidden", "token": "hidden"}, 0o600, "both"),
    ],
    ids=["open-to-others", "damaged", "misspelt", "half", "both"],
)
def test_bad_files_are_refused_without_repeating_the_secret(tmp_path, content, mode, message):
    with pytest.raises(InputError, match=message) as caught:
        find_credentials(secret_file(tmp_path, content, mode))
    assert "hidden" not in str(caught.value)


def test_missing_certificate_is_named(tmp_path):
    with pytest.raises(InputError, match="ca file: must be an existing file"):
        Credentials(ca_file=tmp_path / "none.pem")
