"""Find faces in a picture and cut them out."""
