"""iNeRF: a field from posed views, and the others registered against it."""
