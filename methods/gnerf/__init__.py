"""GNeRF (Meng et al. 2021): poses and radiance field from nothing but images and a prior over viewpoints."""
