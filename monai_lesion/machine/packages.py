"""Load optional packages on first use, with their usage reporting off, or say which extra to install."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType

from monai_lesion.errors import InputError
from monai_lesion.machine.reporting import silence_reporting


def load_package(name: str) -> ModuleType:
    """Import ``onnx``, ``onnxruntime``, ``openvino`` or ``nncf``, with usage reporting off.

    Raises:
        InputError: when it is not installed; says how to install it.
    """
    silence_reporting()
    try:
        return import_module(name)
    except ImportError as error:
        fix = "pip install 'monai-lesion[cpu]'" if name in ("openvino", "nncf") else f"pip install {name.split('.')[0]}"
        raise InputError(name, "must be installed for this runtime", got=str(error), fix=fix) from error


def is_installed(name: str) -> bool:
    """Whether a package could be imported; does not import it."""
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
