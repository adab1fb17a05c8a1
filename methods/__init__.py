"""Methods that recover cameras and a radiance field from images; each in a folder of its own."""
