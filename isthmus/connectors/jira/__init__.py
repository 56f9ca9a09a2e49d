"""Jira Cloud, over the REST API version 3."""

from isthmus.connectors.jira.connector import Jira as connector

__all__ = ["connector"]
