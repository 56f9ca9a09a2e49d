"""What connectors are made of: manifest, requests and answers, mapping tables, auth kinds, limits, files."""
