"""What runs the networks of a loaded model: torch, onnxruntime or OpenVINO (graphs of them)."""
