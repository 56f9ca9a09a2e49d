"""A month of a small consulting firm, played on the real hub with sandboxes for systems."""

from isthmus.app.demo.play import run

__all__ = ["run"]
