"""nines: train classifiers that almost never miss the bad case, and prove how reliable they are.

Importing this package loads no torch; its subpackages `losses`, `clipping` and `models` do.
"""

__version__ = "0.1.0"
