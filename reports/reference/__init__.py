"""What is shown of the reference (`bench.reference`): tables in README and docs, and a site."""
