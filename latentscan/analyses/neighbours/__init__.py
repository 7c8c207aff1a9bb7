"""The nearest neighbours of every row, exact or of measured recall."""
