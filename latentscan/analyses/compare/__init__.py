"""Stores beside one another."""
