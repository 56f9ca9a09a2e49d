"""Making and finding connectors that live outside this package."""
