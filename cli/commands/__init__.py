"""The commands, one module each, with no logic of their own."""
