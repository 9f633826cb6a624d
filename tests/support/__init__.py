"""Parts that the tests of several rooms share; each module says in its first line what it is."""
