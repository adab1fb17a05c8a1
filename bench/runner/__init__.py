"""Settling cells: each is fitted in a worker process, judged, and recorded."""
