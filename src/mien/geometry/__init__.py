"""Mathematics of cameras, rotations and surfaces, without faces."""
