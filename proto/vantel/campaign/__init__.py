"""Campaigns: what to collect, when, and how much of it. The language of their conditions, and the document that is signed."""
