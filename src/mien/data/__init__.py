"""Training data: pictures and clips to batches."""
