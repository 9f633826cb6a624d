"""Declares and compiles ``cellwright.native._native`` (cffi, API mode)."""

from cffi import FFI

ffibuilder = FFI()
ffibuilder.cdef("")
ffibuilder.set_source("cellwright.native._native", "")
