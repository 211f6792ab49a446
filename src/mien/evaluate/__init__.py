"""What the factors are worth: metrics, probes, protocols."""
