"""BARF: poses that are roughly known, bundle-adjusted with the field from coarse to fine."""
