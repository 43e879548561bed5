"""The uplink: envelopes from the spool to the broker, durable acks back. What goes next is decided in lanes, how in mqtt."""
