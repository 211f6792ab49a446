"""LatentFace: the 3D-aware autoencoder and the representation diffusion model."""
