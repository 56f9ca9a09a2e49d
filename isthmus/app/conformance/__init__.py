"""The conformance suite: what every connector promises, shown at its sandbox without code of its own.

A connector says in ``samples.toml`` how it is met: settings, credentials, what people have put in over there. What the
hub asks of it comes from ``inputs.toml``, the same for all.
"""
