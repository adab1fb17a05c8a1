"""Where workers run. The runner knows the protocol alone; local processes are one implementation."""
