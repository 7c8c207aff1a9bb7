"""Which cluster is meant: profiles, and how to start one or connect to one."""
