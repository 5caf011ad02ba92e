"""Give samples our names. Readings of sources go in, the Snapshot of one tick comes out; the tables say how."""
