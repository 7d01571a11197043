"""What `deploy/` says holds: the lock covers what the service imports, the unit and the container call what exists."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NOT_THERE = ("torch", "monai", "ignite", "nibabel", "itk", "onnx", "matplotlib", "ray")
IMPORTED = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_THERE!r}))  # importing one of them fails
import tempfile
from pathlib import Path
import monai_lesion.pacs.receivers, monai_lesion.service.checks, uvicorn
from monai_lesion.service.configurations import ModelPart
from monai_lesion.service.models import open_model
from monai_lesion.service.services import Service
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pacs.objects import FORMATS
case = simulate_case(0, 0)
folder = Path(tempfile.mkdtemp())
write_dicom(folder / "a.dcm", case, case.views[0], seed=0)
print(len(open_model(ModelPart(folder="clinic"))(folder / "a.dcm", frame=None).save(folder, FORMATS)))
from importlib.metadata import packages_distributions
known = packages_distributions()
loaded = [name.split(".")[0] for name, module in sys.modules.items() if module is not None]
print(*sorted({{known[name][0] for name in loaded if name in known}}))
"""


def locked() -> dict[str, str]:
    lines = (DEPLOY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if line[:1] not in ("", "#"))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_meets_the_floors_of_the_project():
    floors = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")))

    def numbers(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)[:3]]

    low = [name for name, version in locked().items() if name in floors and numbers(version) < numbers(floors[name])]
    assert low == []
    for name in ("torch", "monai", "openvino"):
        assert name not in locked()


@pytest.mark.slow
def test_the_service_runs_on_what_the_lock_has_and_without_pytorch():
    pytest.importorskip("prometheus_client", reason="the service needs prometheus-client")
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    count, names = done.stdout.splitlines()[-2:]
    assert count == "3"
    # What is in this environment besides, and imported because it is: plugins that announce themselves.
    others = {"monai-lesion", "setuptools", "pip", "python-multipart"}
    missing = {plain(name) for name in names.split()} - {plain(name) for name in locked()} - others
    assert {name for name in missing if not name.startswith(("opentelemetry", "openvino"))} == set()


def test_the_unit_is_bound_to_its_folders_and_reloads():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "monai-lesion.service", encoding="utf-8")
    service = unit["Service"]
    assert service["ExecStart"].endswith("bin/monai-lesion serve --config /etc/monai-lesion/service.toml")
    assert "-HUP" in service["ExecReload"]
    assert service["User"] != "root"
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "true")
    assert int(service["TimeoutStopSec"]) > 10  # it ends within ten seconds by itself


def test_the_container_runs_as_nobody_and_installs_the_lock():
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER (\d+)$", text, re.M)[1] != "0"
    assert "-r /tmp/requirements.txt" in text
    assert text.count("--no-deps") == 2
    assert '"serve"]' in text
    for copied in re.findall(r"^COPY (?!--from)(\S+)", text, re.M):
        assert (ROOT / copied).exists()
