"""The shared radiance field: what every method of this suite renders with, so that their rows differ by poses alone."""
