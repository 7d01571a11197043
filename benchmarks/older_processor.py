"""Run a command as if the processor had AVX2 and nothing newer, as far as libraries can be told to.

    python benchmarks/older_processor.py monai-lesion benchmark --networks @128 --runtimes torch-fp32,openvino-fp32
    python benchmarks/older_processor.py python benchmarks/peaks.py --precision fp32

ONNX Runtime asks the processor itself and has no switch; OpenVINO's float32 matrix product does not know the limit, and
its int8 without VNNI computes wrong values where the limit is only feigned (docs/how-to/benchmark.md).
"""

from __future__ import annotations

import os
import sys

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # the convolutions of PyTorch and OpenVINO
    "DNNL_MAX_CPU_ISA": "AVX2",  # the same, in older versions
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # PyTorch's matrix products
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's
}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, **AVX2})
