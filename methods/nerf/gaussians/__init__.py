"""3D Gaussians: what they are, how they are drawn, and how dead ones are moved."""
