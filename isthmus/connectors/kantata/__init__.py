"""Kantata OX, over the Mavenlink v1 API."""

from isthmus.connectors.kantata.connector import Kantata as connector

__all__ = ["connector"]
