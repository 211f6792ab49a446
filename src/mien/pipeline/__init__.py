"""Images to faces: read, detect, crop, encode; once, for every caller."""
