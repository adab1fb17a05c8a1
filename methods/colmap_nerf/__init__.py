"""COLMAP, then NeRF on its poses: what most people do with unposed images."""
