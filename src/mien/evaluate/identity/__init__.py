"""Whose face it is: pairs that are or are not one person, and who among many."""
