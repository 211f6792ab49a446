"""What runs the networks of a loaded model: torch, or onnxruntime with graphs of the networks."""
