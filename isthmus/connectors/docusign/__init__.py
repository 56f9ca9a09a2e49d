"""DocuSign as the e-signature service: envelopes that came to an end, with who signed them, as approval evidence."""

from isthmus.connectors.docusign.connector import Docusign as connector

__all__ = ["connector"]
