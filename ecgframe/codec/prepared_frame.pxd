"""C declarations of ``prepared_frame.py``: what it calls in C."""

from .encoded_frame cimport describe_frame
from .header_values cimport check_numbering
