"""Apache Kafka, or what speaks its protocol: the trace topic, the control topics and the broker's clock."""
