"""Ways of marching rays through a voxel grid: plain torch, and numba on the CPU."""
