"""What every compressor has to keep to, tried on made-up images: `pytest --vtc-conformance ./my_algo.py`."""
