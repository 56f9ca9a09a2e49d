"""The desk: what people decide, checked for what it needs and carried out with its side effects."""
