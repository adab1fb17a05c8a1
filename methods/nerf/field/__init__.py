"""The radiance fields, and how they are rendered: bounds, encodings, sampling, volume rendering, files."""
