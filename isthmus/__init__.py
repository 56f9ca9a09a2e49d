"""isthmus: the governed hub between sold work and cash. No hour lost, no invoice twice, every cent explained."""

__version__ = "0.1.0"
