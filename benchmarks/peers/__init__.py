"""Other ways to describe a face, measured beside mien's in one run: run.py is where it begins."""
