"""Training a field: from known poses, or together with them; schedules and checkpoints."""
