"""Virtual machines: what the cloud says of them, and what is done to them."""
