"""The built-in phones: they play the platform behind channels of kind `phone`, with real HTTP both ways."""
