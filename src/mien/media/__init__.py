"""Images and video in and out; the only place that knows uint8 files."""
