"""The usage reporting of ONNX Runtime, OpenVINO and NNCF, switched off.

This file stands alone, for a copy of it travels with every exported model.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

REPORTER = "openvino_telemetry"  # reports the use of OpenVINO and NNCF, from their import on
SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # which one is read depends on ONNX Runtime's version


def silence_reporting() -> None:
    """Switch it off in this process; call it before any of them is imported.

    ONNX Runtime notes program and processor while it is imported, and reads the environment for leave to do so.
    OpenVINO and NNCF fall back on a stub where the reporting package cannot be imported, so it is made to be absent.
    Where someone imported it earlier, its sender is put to sleep.
    """
    os.environ.update(dict.fromkeys(SWITCHES, "1"))
    if sys.modules.get(REPORTER) is None:
        sys.modules[REPORTER] = None  # type: ignore[assignment]  # Python's sign for "must not be imported"
        return
    sender = import_module(f"{REPORTER}.utils.sender").TelemetrySender
    sender.send = lambda *_arguments, **_options: None
