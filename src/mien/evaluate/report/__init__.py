"""Results as JSON, CSV and one HTML page."""
