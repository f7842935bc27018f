"""pretrainjax: pretraining without labels in JAX, for research code that loads the result."""
