"""The flight recorder: the last minutes of every engine and GPU, kept in memory, frozen on disk by an incident."""
