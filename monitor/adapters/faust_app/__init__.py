"""The host of a worker: the only place where Faust is imported."""
