"""Images as training data: pyramids of unposed images, pixels and rays of posed ones."""
