"""Tryton, over the REST API of its own server."""

from isthmus.connectors.tryton.connector import Tryton as connector

__all__ = ["connector"]
