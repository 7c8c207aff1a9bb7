"""Jobs: files that say what is run, what they would cost, and running them with a record in the store."""
