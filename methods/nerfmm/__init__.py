"""NeRF--: nothing is known of the cameras; forward-facing scenes only."""
