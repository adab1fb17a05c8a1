"""Scenes: loaders for the layouts found in the wild, and the embedded scenes made in code."""
