"""The HTTP API: webhooks and files in, system, process and experience APIs; one access table, one problem format."""

from isthmus.app.api.application import create_app

__all__ = ["create_app"]
