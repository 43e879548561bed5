"""Commands of operators: to one van over MQTT, and dead letters back into Kafka."""
