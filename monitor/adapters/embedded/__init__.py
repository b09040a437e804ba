"""Real servers without Docker: an extra, for the demo and the integration tests, never for production."""
