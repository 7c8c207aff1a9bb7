"""Which cluster is meant: profiles, starting one, reaching one."""
