"""Ways of marching rays through a voxel grid, behind one protocol (`base.py`): plain torch, and numba on the CPU."""
