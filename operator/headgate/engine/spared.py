"""To be imported before the libraries: it loads them in the sparing way."""

from headgate import sparing

sparing.for_operator()
