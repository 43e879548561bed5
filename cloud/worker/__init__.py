"""The stream worker: bundles from Kafka to points and accounts. The core knows no framework; the adapters know nothing else."""
