"""The sink: lines into InfluxDB for certain, or a word on each that it will never take."""
