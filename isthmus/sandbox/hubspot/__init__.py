"""Sandbox of HubSpot: CRM objects v3 (and date-versioned paths), search, associations v3 and v4, properties, pipelines,
schemas of custom objects, OAuth, and webhooks v3 with the vendor's signature.

Modelled from the vendor's published material (API specification collection, guides, the client library and its error
bodies in public issues). It is not the vendor's software and is not certified by anyone. What could not be checked
against a published page is listed in :mod:`isthmus.sandbox.hubspot.errors`.
"""

from isthmus.sandbox.hubspot.portal import HubspotSandbox

__all__ = ["HubspotSandbox", "sandbox"]


def sandbox() -> HubspotSandbox:
    """A fresh portal with the firm's custom properties and no records."""
    return HubspotSandbox()
