"""HubSpot as the CRM: won deals with their line items, and the hub's status written back."""

from isthmus.connectors.hubspot.connector import Hubspot as connector

__all__ = ["connector"]
