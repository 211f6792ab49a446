"""Head pose on data sets whose truth was measured or fitted."""
