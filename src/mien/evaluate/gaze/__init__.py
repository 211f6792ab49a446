"""How well gaze is read off codes: data sets with their layouts, few labels, other data sets."""
