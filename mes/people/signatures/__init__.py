"""Electronic signatures (21 CFR 11.50, 11.70, 11.100, 11.200, 11.300).

An action demands one because it is declared so or because its site says so (`demands`). The
dispatcher lets `signing` check who signs and bind the signature to what the action did; `reading`
shows signatures and says whether they hold.
"""
