"""Proofs that take longer than a test: would the suite notice a fault, and does the channel hold for ten million items?"""
