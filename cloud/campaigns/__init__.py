"""Campaigns from the operators' side: what each van shall have, how a campaign is rolled out, and what the vans say."""
