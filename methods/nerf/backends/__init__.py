"""Ways of marching rays through a voxel grid, behind one protocol (`base.py`): plain torch, numba on the CPU,
Triton on CUDA."""
