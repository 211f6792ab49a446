"""Training loops, run folders, checkpoints; no model lives here."""
