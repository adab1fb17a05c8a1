"""The site of a suite: a folder of pages that opens from a disk, without a network."""
