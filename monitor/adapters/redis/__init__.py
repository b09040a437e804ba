"""Redis or Valkey: the derived state of every partition, and the evaluators' leases."""
