"""Feed-forward pose estimators, each in an environment of its own, then the shared field."""
