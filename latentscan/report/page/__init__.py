"""Results, maps and images as one page that needs nothing beside itself."""
