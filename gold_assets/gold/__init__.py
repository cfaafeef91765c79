"""The tables made from Silver: how they are declared, computed, written, maintained and followed."""
