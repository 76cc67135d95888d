"""One module per platform that needs no models of its own."""
