"""Where methods break: bisection over the severities of a degradation."""
