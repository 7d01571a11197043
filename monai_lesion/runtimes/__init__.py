"""Run trained networks in PyTorch, ONNX Runtime or OpenVINO, behind one interface."""
