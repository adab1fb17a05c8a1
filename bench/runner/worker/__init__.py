"""The process in which a method lives. It knows a folder of its own, and nothing of the scene but what lies there."""
