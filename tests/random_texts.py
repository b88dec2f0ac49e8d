"""The texts that property-based tests draw."""

from hypothesis import strategies as st

# Every character that UTF-8 can encode, as in `st.text()`. But that computes them from the codec, which takes each process of
# a fresh checkout three seconds; from the categories it takes a quarter of one.
CHARACTERS = st.characters(exclude_categories=["Cs"])


def texts(max_size: int | None = None) -> st.SearchStrategy[str]:
    """Return a strategy for texts of any characters but lone surrogates, of at most `max_size` characters."""
    return st.text(CHARACTERS, max_size=max_size)
