"""Bad links: two network namespaces joined by two TUN devices, with everything between them decided by a seed."""
