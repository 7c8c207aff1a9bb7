"""Arrays in files of any kind: mapped, or read row by row."""
