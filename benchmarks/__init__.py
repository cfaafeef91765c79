"""Side-by-side measurements against peers. Run them on a quiet machine."""
