"""Public data sets brought into the one form every bundle reads; one module a kind of source."""
