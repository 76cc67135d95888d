"""Doors to the platforms: accounts, adapters, raw inbox, media, the one outgoing HTTP client."""
