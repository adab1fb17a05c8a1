"""Rendering as arithmetic: encodings, samples along a ray, the quadrature of the volume rendering integral."""
