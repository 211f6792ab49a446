"""The direction of light on data sets whose lamps are known."""
