"""Models as files that other programs run: ONNX, OpenVINO, torch; each compared with torch."""
