"""The optional packages: loaded when first needed, their usage reporting off, or an error that names the extra."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType

from monai_lesion.errors import InputError

REPORTER = "openvino_telemetry"  # reports the use of OpenVINO and NNCF, from their import on


def load_package(name: str) -> ModuleType:
    """Import ``onnx``, ``onnxruntime``, ``openvino`` or ``nncf``; nothing is reported to anyone.

    Raises:
        InputError: when it is not installed, naming the extra that brings it.
    """
    silence_reporting()
    try:
        module = import_module(name)
    except ImportError as error:
        fix = "pip install 'monai-lesion[cpu]'"
        raise InputError(name, "must be installed for this runtime", got=str(error), fix=fix) from error
    if name == "onnxruntime":
        module.disable_telemetry_events()  # official builds for Windows
    return module


def silence_reporting() -> None:
    """Switch off the usage reporting of OpenVINO and NNCF in this process.

    Both fall back on a stub where the reporting package cannot be imported, so it is made to be absent. Where someone
    imported it earlier, its sender is put to sleep.
    """
    if sys.modules.get(REPORTER) is None:
        sys.modules[REPORTER] = None  # type: ignore[assignment]  # Python's sign for "must not be imported"
        return
    sender = import_module(f"{REPORTER}.utils.sender").TelemetrySender
    sender.send = lambda *_arguments, **_options: None


def is_installed(name: str) -> bool:
    """Whether a package can be imported; it is not."""
    return find_spec(name) is not None


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed.

    Example:
        >>> sorted(versions(["numpy", "no-such-package"]))
        ['numpy']
    """
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
