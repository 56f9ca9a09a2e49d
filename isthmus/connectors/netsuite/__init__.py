"""NetSuite, over SuiteTalk REST."""

from isthmus.connectors.netsuite.connector import NetSuite as connector

__all__ = ["connector"]
