"""Results as MLflow runs: a view of the files, and never in their way."""
