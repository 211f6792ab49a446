"""One reader a data set: files to images and labels, nothing else."""
