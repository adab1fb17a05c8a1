"""Cells to look at: contact sheets, films, and a live view of cameras and field."""
