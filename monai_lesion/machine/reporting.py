"""Switch off the usage reporting of ONNX Runtime, OpenVINO and NNCF.

This file imports no other, because a copy of it travels with every exported model.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

REPORTER = "openvino_telemetry"  # reports the use of OpenVINO and NNCF, from their import on
SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # which one is read depends on ONNX Runtime's version


def silence_reporting() -> None:
    """Switch reporting off in this process; call this before any of them is imported.

    ONNX Runtime records program and processor while it is imported, unless an environment variable forbids it. OpenVINO
    and NNCF fall back to a stub if the reporting package cannot be imported, so the import is made to fail. If it was
    imported earlier, its sender is switched off.
    """
    os.environ.update(dict.fromkeys(SWITCHES, "1"))
    if sys.modules.get(REPORTER) is None:
        sys.modules[REPORTER] = None  # type: ignore[assignment]  # Python's sign for "must not be imported"
        return
    sender = import_module(f"{REPORTER}.utils.sender").TelemetrySender
    sender.send = lambda *_arguments, **_options: None
