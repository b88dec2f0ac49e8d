"""Security groups, floating IPs and server groups: how the VMs of a tenant are reached, and kept apart."""
