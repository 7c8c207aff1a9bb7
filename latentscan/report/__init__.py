"""Results as tables, plots and images: everything here draws, nothing computes."""
