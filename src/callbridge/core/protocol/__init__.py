"""The content-block protocol of `version="v3"`: what it consists of, and how to translate between it and v2 events."""
