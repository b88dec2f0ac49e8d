"""The ground room of what web pages are made of: components, charts, badges, times, and panels that refresh themselves."""
