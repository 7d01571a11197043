"""The configuration: the example is valid, and every fault of a bad file is told at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.errors import InputError
from monai_lesion.pacs.limits import Limits
from monai_lesion.service.configurations import (
    EXAMPLE,
    Configuration,
    ConfigurationError,
    DimsePart,
    Part,
    StowPart,
    read_configuration,
)
from tests.service import SMALLEST

BAD = """
[listener]
title = "LESION-which-is-too-long"
prot = 11112
port = "11112"
limits = { setle = 5.0 }
[[peers]]
title = "A"
host = "x"
[queue]
folder = 3
[models.breast]
folder = "clinic"
colour = true
[[routes]]
model = "brest"
calling = ["B"]
frame = -1
[[routes.to]]
destination = "archiv"
formats = ["png"]
accept = "lesion"
least_trust = 2
[destinations.archive]
kind = "dimse"
host = "x"
port = 70000
commitment = { rule = "maybe", agian = 3 }
[destinations.web]
kind = "ftp"
[destinations.none]
url = "http://x"
[pollers."bad name"]
url = "https://user:secret@x"
[audit]
syslog = "10.0.0.9"
"""
FAULTS = {
    "listener.title": "must have 1 to 16 printable ASCII characters",
    "listener.prot": "is not a key. Did you mean port?",
    "listener.port": "must be a valid integer, got '11112'",
    "listener.limits.setle": "is not a key. Did you mean settle?",
    "peers[0]": "must have host and port, or neither",
    "queue.folder": "must be a path, got 3",
    "models.breast.colour": "is not a key. Known: folder, runtime",
    "routes[0].model": "must be one of models: breast, got 'brest'",
    "routes[0].calling": "must be titles of peers or names of pollers: A, bad name, got 'B'",
    "routes[0].frame": "must be greater than or equal to 0, got -1",
    "routes[0].to[0].destination": "must be one of destinations: archive, web, none, got 'archiv'",
    "routes[0].to[0].formats[0]": "must be 'dicom-seg', 'dicom-sr' or 'sc', got 'png'",
    "routes[0].to[0].accept": "must be a valid list, got 'lesion'",
    "routes[0].to[0].least_trust": "must be less than or equal to 1, got 2",
    "destinations.archive.title": "must be given, got nothing",
    "destinations.archive.port": "must be less than or equal to 65535, got 70000",
    "destinations.archive.commitment.rule": "must be 'required', 'if-offered' or 'none', got 'maybe'",
    "destinations.archive.commitment.agian": "is not a key. Did you mean again?",
    "destinations.web.kind": "must be dimse or stow, got 'ftp'",
    "destinations.none.kind": "must be given: dimse or stow, got nothing",
    "pollers.bad name": "must have 1 to 32 letters, digits, - or _, got 'bad name'",
    "pollers.bad name.url": "without a user or a password",
    "audit.syslog": "must be udp://HOST:PORT or tcp://HOST:PORT, got '10.0.0.9'",
}


def test_every_fault_is_told_at_once_as_key_rule_got_and_fix(tmp_path):
    file = tmp_path / "service.toml"
    file.write_text(BAD)
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    found = {fault.key: str(fault) for fault in caught.value.faults}
    assert set(found) == set(FAULTS)
    for key, text in FAULTS.items():
        assert text in found[key]
        assert found[key] in str(caught.value)


def test_the_example_is_valid_and_says_the_defaults():
    found = read_configuration(EXAMPLE)
    assert [route.model for route in found.routes] == ["breast", "breast"]
    assert isinstance(found.destinations["archive"], DimsePart)
    assert isinstance(found.destinations["research"], StowPart)
    assert found.listener.bounds == Limits()


def test_the_smallest_configuration_has_defaults_and_absolute_paths(tmp_path):
    (tmp_path / "service.toml").write_text(SMALLEST)
    found = read_configuration(tmp_path / "service.toml")
    assert found.queue.folder == tmp_path / "queue"
    assert found.destinations["archive"].commitment.rule == "if-offered"
    assert found.models["breast"].folder == "pocket"
    (tmp_path / "pocket").mkdir()
    assert read_configuration(tmp_path / "service.toml").models["breast"].folder == str(tmp_path / "pocket")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[[peers]]", "[[pers]]"), "pers: is not a key. Did you mean peers?"),
        (("[queue]\n", "[queue]\nfolder = 1\n"), "must be TOML in UTF-8"),
        (('title = "SCANNER"', 'title = "SCANNER"\n[[peers]]\ntitle = "SCANNER"'), "must each have a title of its own"),
        (("[[routes.to]]", '[[routes.to]]\ndestination = "archive"\n[[routes.to]]'), "must stand once in a route"),
        (('model = "breast"', 'model = "breast"\ncalling = 3'), "routes[0].calling: must be a valid list, got 3"),
    ],
    ids=["unknown table", "no TOML", "peer twice", "destination twice", "wrong kind"],
)
def test_other_faults(tmp_path, change, message):
    file = tmp_path / "service.toml"
    file.write_text(SMALLEST.replace(*change))
    with pytest.raises(InputError, match=re.escape(message)):
        read_configuration(file)


def test_a_missing_file_and_a_huge_one_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="must be a configuration that can be read, got a pipe"):
        read_configuration(tmp_path / "pipe")
    with pytest.raises(InputError, match="must be a configuration that can be read"):
        read_configuration(tmp_path / "none.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(InputError, match="must have at most"):
        read_configuration(tmp_path / "big.toml")


def keys(model: type[Part], prefix: str = "") -> set[str]:
    from monai_lesion.service.configurations import _models

    found = set()
    for name, field in model.model_fields.items():
        parts = list(_models(field.annotation))
        found |= {f"{prefix}{name}"} if not parts else set()
        for part in parts:
            found |= keys(part, f"{prefix}{name}.")
    return found


def test_the_reference_lists_exactly_the_keys():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "service.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \|", text, re.M)
    limits = {key for key in keys(Configuration) if key.startswith("listener.limits.")}
    assert set(listed) == (keys(Configuration) - limits) | {"listener.limits"}
