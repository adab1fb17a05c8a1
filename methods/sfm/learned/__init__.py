"""Keypoints and matches found by networks, in a process of their own that never loads COLMAP."""
