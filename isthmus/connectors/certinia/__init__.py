"""Certinia PSA on the Salesforce platform."""

from isthmus.connectors.certinia.connector import Certinia as connector

__all__ = ["connector"]
