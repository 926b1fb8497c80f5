"""The pure floor: values in, values out. No I/O, no clock, no randomness; imports the standard library and itself only."""
