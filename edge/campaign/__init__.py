"""Campaigns on the van: judged when they come, run beside the detector, kept over restarts, reported when they change."""
