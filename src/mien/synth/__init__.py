"""Labelled face clips rendered from a parametric head model."""
