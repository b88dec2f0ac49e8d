"""Virtual machines: their status in the cloud, and the commands that change them."""
