"""The ledger: accounts of both ends in Kafka, joined into the answer where every envelope is, and when."""
