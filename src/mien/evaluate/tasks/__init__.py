"""What is measured: verification, classification, gaze, pose, light, shape, disentanglement."""
