"""Salesforce as the CRM: contracts with their CPQ quote, and the hub's status written back."""

from isthmus.connectors.salesforce.connector import Salesforce as connector

__all__ = ["connector"]
