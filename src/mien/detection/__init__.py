"""The face detector's network and its training."""
