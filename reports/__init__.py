"""Comparison reports: pure functions of recorded results."""
