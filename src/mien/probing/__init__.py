"""From codes to labels of your own, learned from a few faces that are labelled."""
