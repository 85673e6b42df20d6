"""The content-block protocol of `version="v3"`: what it says, and how it and v2 events are made of each other."""
