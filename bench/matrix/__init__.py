"""What is to be run: methods and scenes by name, selections, cells, and what their fingerprints are made of."""
