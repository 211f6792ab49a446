"""Probes on embeddings: any label, or gaze (calibration)."""
