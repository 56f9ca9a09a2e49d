"""Logs, metrics and figures about the hub itself."""
