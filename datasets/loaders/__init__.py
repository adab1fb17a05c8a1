"""Layouts found in the wild, a loader each."""
