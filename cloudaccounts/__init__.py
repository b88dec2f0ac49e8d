"""Where: cloud accounts, and the door that opens one of them."""
