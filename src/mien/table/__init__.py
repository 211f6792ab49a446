"""The table of factors: columns, units, writing."""
