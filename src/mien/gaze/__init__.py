"""EM-IB (arXiv 2407.00315): an eye-masked auto-encoder and a full-face bottleneck; code is gaze."""
