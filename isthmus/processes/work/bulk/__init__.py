"""The quick way through a month end: the same rows as the ordinary way, many contracts in one transaction."""
