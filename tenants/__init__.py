"""Who: tenants, their members, their information systems, and the wall between them."""
