"""Rasterise meshes, interpolate and shade: pure functions, no weights."""
