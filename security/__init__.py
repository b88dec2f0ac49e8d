"""What guards secrets and addresses, for every room: see `addresses`, `connections`, `endpoints`, `encryption`, `cache`.

On the ground floor: it imports no room.
"""
