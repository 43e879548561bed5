"""Captures: the seconds round an event at full rate, kept on the van's disk and sent up."""
