"""Dynamics 365 Finance, over the OData service of finance and operations apps."""

from isthmus.connectors.dynamics_finance.connector import DynamicsFinance as connector

__all__ = ["connector"]
