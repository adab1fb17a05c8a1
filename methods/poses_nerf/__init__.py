"""Poses found elsewhere as a row of the suite: judged as they are, or with the shared field trained on them."""
