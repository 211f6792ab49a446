"""From gaze codes to directions, learned from a few samples whose direction is known."""
