"""Shape: depth and normals against rendered faces whose depth is known."""
