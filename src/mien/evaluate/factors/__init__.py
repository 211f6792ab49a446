"""What the factors are worth where all is known: leakage, disentanglement, swaps, frontal views."""
