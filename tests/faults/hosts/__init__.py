"""The portal on several hosts: network namespaces of one machine, and a network between them that fails as asked."""
