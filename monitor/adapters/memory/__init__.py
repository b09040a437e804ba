"""In-process twins of the real adapters: replay, tests and the first five minutes run on them."""
