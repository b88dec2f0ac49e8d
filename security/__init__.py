"""Protection of secrets and of network addresses, for every room: see `addresses`, `connections`, `endpoints`, `encryption`, `cache`.

On the ground floor: it imports no room.
"""
