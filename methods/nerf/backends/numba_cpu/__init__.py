"""The fused CPU kernels of the grid field."""
