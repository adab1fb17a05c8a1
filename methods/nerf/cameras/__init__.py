"""Cameras: poses as variables, intrinsics, rays, and images rendered from them."""
