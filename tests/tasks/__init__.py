"""Tests of the room ``tasks``; a package so that ``tasks.harness`` can be imported by others."""
