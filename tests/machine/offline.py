"""Use every optional package with sockets watched, and tell who was called. A program of its own, without pytest,
because NNCF reports nothing under pytest anyway."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time

CALLED = tempfile.NamedTemporaryFile("a+")  # noqa: SIM115 - a file, because reports are sent by a forked process


def watched(*arguments, **_options):
    print(next(str(argument) for argument in arguments if not isinstance(argument, socket.socket)), file=CALLED)
    CALLED.flush()
    raise OSError("no network here")


def main() -> None:
    socket.socket.connect = watched
    socket.getaddrinfo = watched
    for name in ("CI", "TF_BUILD", "JENKINS_URL", "NNCF_CI", "NNCF_DEV"):  # where nothing is reported anyway
        os.environ.pop(name, None)
    os.environ["HOME"] = os.environ["MONAI_LESION_CACHE"] = tempfile.mkdtemp()  # no refusal noted earlier
    if "--loud" in sys.argv:  # as it is without us: shows that this program can tell
        import openvino  # noqa: F401
    else:
        import numpy as np
        import torch

        from monai_lesion.networks import LighterUNet
        from monai_lesion.pipeline.steps import Steps
        from monai_lesion.runtimes.executions import Execution
        from monai_lesion.runtimes.factories import open_runtime
        from monai_lesion.runtimes.quantization import CalibrationImages

        network = LighterUNet(group_size=8, width=0.0625).eval()
        images = [np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)] * 2
        calibration = CalibrationImages(images, images, [np.zeros((32, 32), bool)] * 2)
        with torch.inference_mode():
            for runtime, precision in (("onnx", "int8"), ("openvino", "fp32")):
                execution = Execution(runtime=runtime, precision=precision, calibration=calibration)
                open_runtime(network, Steps(input_size=(32, 32)), execution)(images[0])
    time.sleep(2)  # reports are sent by threads
    CALLED.seek(0)
    print(f"connections: {CALLED.read().split()}")


if __name__ == "__main__":
    main()
