"""The collections of custom fields: what a firm adds to projects, and the value each project has there.

Modelled from the vendor's published material, not certified: the collections custom_fields and custom_field_values of
its specification and "Creating a new Custom Field Value" (developer.kantata.com). Projects only, and text.
"""

from __future__ import annotations

from isthmus.sandbox.kantata.schema import Collection, words

CUSTOM_FIELDS = Collection(
    "custom_fields",
    "custom_field",
    "CustomField",
    None,
    creates=words("name value_type default_text custom_field_set_id write_access read_access external_reference"),
    updates=words("name default_text write_access read_access external_reference"),
    required=("name",),
    defaults={"name": "", "value_type": "string", "default_text": None, "unique_constraint": False},
    to_one={"creator": "users"},
    orders=("created_at", "updated_at", "name"),
)
CUSTOM_FIELD_VALUES = Collection(
    "custom_field_values",
    "custom_field_value",
    "CustomFieldValue",
    None,
    creates=words("subject_type subject_id custom_field_id value"),
    updates=words("value"),
    required=("subject_type", "subject_id", "custom_field_id", "value"),
    defaults={"subject_type": None, "subject_id": None, "value": None, "display_value": None, "type": "string"},
    to_one={"custom_field": "custom_fields", "setter": "users"},
    filters=words("subject_type"),
    default_order="updated_at:asc",
)
