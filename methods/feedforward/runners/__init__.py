"""What runs in an estimator's own environment, where nothing of this project can be imported."""
