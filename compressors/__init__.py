"""Compressors, one file each. They are imported as `pytest_vtc.compressors.<name>`; a file dropped here is found."""
