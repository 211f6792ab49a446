"""Training data: images and clips to batches."""
