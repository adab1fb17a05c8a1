"""Structure from motion: features and their matches, poses by COLMAP; for every method that wants some."""
