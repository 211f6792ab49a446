"""What is trained: LatentFace, the gaze branch, the student."""
